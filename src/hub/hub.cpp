#include "hub/hub.h"

#include <fnmatch.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>
#include <system_error>

namespace tern::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kShownNames = 8;
constexpr std::uint64_t kStatBlock = 512;

std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShownNames); ++i) {
    text.append(i == 0 ? "" : ", ").append(names[i]);
  }
  return names.size() > kShownNames ? text + ", and others" : text;
}

bool matches(const std::string& path, const std::vector<std::string>& patterns) {
  return patterns.empty() || std::ranges::any_of(patterns, [&](const std::string& pattern) {
           return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
         });
}

// What a file that is being brought has on the disk.
std::uint64_t part_bytes(const fs::path& blob) {
  struct stat status {};
  if (::stat((blob.string() + ".tern-part").c_str(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.st_blocks) * kStatBlock;
}

bool is_there(const fs::path& blob, std::uint64_t size) {
  std::error_code error;
  return fs::file_size(blob, error) == size && !error;
}

}  // namespace

// One call of pull().
struct Hub::Pull {
  const RemoteRevision& revision;
  const std::function<void(const PullProgress&)>& report;
  Pulled pulled;
  std::set<std::string> missing;  // hashes that the total counts and that have not come
  std::mutex mutex;
  PullProgress progress;

  void arrived(std::uint64_t fetched, std::uint64_t resumed) {
    const std::scoped_lock lock(mutex);
    progress.fetched += fetched;
    progress.done = std::min(progress.done + fetched + resumed, progress.total);
    if (report) report(progress);
  }
};

Result<std::unique_ptr<Hub>> Hub::create(HubOptions options) {
  TERN_ASSIGN(auto server, Server::create(options.server));
  return std::unique_ptr<Hub>(new Hub(std::move(options), std::move(server)));
}

Result<RemoteRevision> Hub::look_up(const ModelRef& ref) const {
  if (options_.offline) {
    return Error{ErrorCode::kUsage, "HF_HUB_OFFLINE forbids to ask the server", ref.to_string()};
  }
  RemoteRevision revision;
  revision.ref = ref;
  TERN_ASSIGN(revision.commit, server_->commit_of(ref));
  TERN_ASSIGN(revision.files, server_->files_of(ref, revision.commit));
  return revision;
}

std::unique_ptr<RemoteFile> Hub::open(const RemoteRevision& revision,
                                      const RemoteEntry& entry) const {
  ModelRef name = revision.ref;
  name.file = entry.path;
  return std::make_unique<RemoteFile>(
      *server_, name.to_string(), server_->file_url(revision.ref.repo, revision.commit, entry.path),
      entry);
}

Result<void> Hub::require_space(const std::vector<RemoteEntry>& wanted, Pull& pull) const {
  std::uint64_t& missing = pull.progress.total;
  std::uint64_t there = 0;
  for (const RemoteEntry& entry : wanted) {
    const fs::path blob = cache_.blob_path(pull.revision.ref.repo, entry.hash);
    // Files of the same bytes have one blob.
    if (is_there(blob, entry.size) || !pull.missing.insert(entry.hash).second) continue;
    missing += entry.size;
    there += std::min(entry.size, part_bytes(blob));
  }
  struct statvfs room {};
  if (::statvfs(cache_.path().c_str(), &room) != 0) {
    return io_error(cache_.path(), "cannot ask for free space", errno);
  }
  const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (missing - there <= free) return {};
  return Error{ErrorCode::kIo,
               "the files need " + std::to_string(missing - there) +
                   " bytes more and their file system has " + std::to_string(free) +
                   " free; free some, or set HF_HUB_CACHE to another place",
               cache_.path().string()};
}

// A file to its blob, unless it is there, and a link to it; one process at a time, so that nobody
// takes a blob away between the two.
Result<void> Hub::bring(const RemoteEntry& entry, Pull& pull) const {
  const std::string& repo = pull.revision.ref.repo;
  const std::string& commit = pull.revision.commit;
  const fs::path blob = cache_.blob_path(repo, entry.hash);
  std::error_code error;
  // A link guards its blob as well as a lock, and a cache of which all is there may be read-only.
  if (is_there(blob, entry.size) &&
      fs::equivalent(cache_.snapshot_path(repo, commit) / entry.path, blob, error)) {
    return {};
  }
  const auto& notice = options_.server.notice;
  TERN_ASSIGN(const FileDescriptor lock,
              cache_.lock(
                  repo, entry.hash,
                  [&] {
                    if (notice) notice(entry.path + ": another process is bringing it; waiting");
                  },
                  options_.server.stop));
  const bool counted = pull.missing.erase(entry.hash) != 0;
  if (!is_there(blob, entry.size)) {
    TERN_TRY(fetch(entry, blob, counted, pull));
  } else if (counted) {
    pull.arrived(0, entry.size);
  }
  return cache_.link(repo, commit, entry.path, entry.hash);
}

Result<void> Hub::fetch(const RemoteEntry& entry, const fs::path& blob, bool counted,
                        Pull& pull) const {
  std::error_code error;
  fs::create_directories(blob.parent_path(), error);
  if (error) return io_error(blob.parent_path(), "cannot make the folder", error.value());
  {
    const std::scoped_lock progress(pull.mutex);
    pull.progress.file = entry.path;
    if (!counted) pull.progress.total += entry.size;  // it was there when the call began
  }
  const auto file = open(pull.revision, entry);
  DownloadOptions options;
  options.connections = options_.connections;
  options.chunk_bytes = options_.chunk_bytes;
  options.arrived = [&](std::uint64_t fetched, std::uint64_t resumed) {
    pull.arrived(fetched, resumed);
  };
  options.notice = options_.server.notice;
  options.stop = options_.server.stop;
  TERN_ASSIGN(const Downloaded downloaded, download(*file, blob, options));
  pull.pulled.fetched_bytes += downloaded.fetched_bytes;
  pull.pulled.resumed_bytes += downloaded.resumed_bytes;
  return {};
}

Result<Pulled> Hub::pull(const RemoteRevision& revision, const std::vector<RemoteEntry>& wanted,
                         const std::function<void(const PullProgress&)>& progress) const {
  const std::string& repo = revision.ref.repo;
  Pull pull{revision, progress, {}, {}, {}, {}};
  std::error_code error;
  fs::create_directories(cache_.path(), error);
  if (error) return io_error(cache_.path(), "cannot make the folder", error.value());
  TERN_TRY(require_space(wanted, pull));
  for (const RemoteEntry& entry : wanted) {
    TERN_TRY(bring(entry, pull));
    pull.pulled.files.push_back(entry.path);
    pull.pulled.bytes += entry.size;
  }
  TERN_TRY(cache_.remember(revision.ref, revision.commit));
  pull.pulled.commit = revision.commit;
  pull.pulled.snapshot = cache_.snapshot_path(repo, revision.commit);
  return std::move(pull.pulled);
}

Result<std::vector<RemoteEntry>> select(const RemoteRevision& revision,
                                        const std::vector<std::string>& patterns) {
  const std::string& file = revision.ref.file;
  std::vector<RemoteEntry> wanted;
  std::vector<std::string> others;
  for (const RemoteEntry& entry : revision.files) {
    const bool named = file.empty() || entry.path == file || entry.path.starts_with(file + "/");
    if (named && matches(entry.path, patterns)) {
      wanted.push_back(entry);
    } else {
      others.push_back(entry.path);
    }
  }
  if (!wanted.empty()) return wanted;
  return Error{ErrorCode::kUsage,
               others.empty() ? "the repository has no files"
                              : "the repository has no such file; it has " + some_of(others),
               revision.ref.to_string()};
}

Result<std::string> only_gguf(const std::vector<std::string>& paths, const ModelRef& ref) {
  std::vector<std::string> found;
  for (const std::string& path : paths) {
    if (path.ends_with(".gguf")) found.push_back(path);
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return Error{ErrorCode::kUsage,
                 "the repository has no GGUF file; a checkpoint in safetensors becomes one by "
                 "`tern convert`",
                 ref.to_string()};
  }
  return Error{ErrorCode::kUsage,
               "the repository has several GGUF files; name one of " + some_of(found),
               ref.to_string()};
}

}  // namespace tern::hub
