#include "hub/hub_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <set>
#include <system_error>
#include <thread>

#include "core/atomic_file.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";
constexpr std::chrono::milliseconds kLockPeriod{50};

// "org/repo" of "models--org--repo"; no value: it is no such folder.
std::optional<std::string> repo_of(const std::string& folder) {
  if (!folder.starts_with(kPrefix)) return std::nullopt;
  std::string repo = folder.substr(kPrefix.size());
  const std::size_t dashes = repo.find("--");
  if (dashes == std::string::npos) return repo;
  return repo.substr(0, dashes).append("/").append(repo, dashes + 2);
}

Result<void> make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return io_error(path, "cannot make the folder", error.value());
  return {};
}

// What cannot be listed is no empty folder: what it needs would seem to be unused.
Error unlisted(const fs::path& folder, const std::error_code& error) {
  return io_error(folder, "cannot list the folder", error.value());
}

bool is_no_folder(const std::error_code& error) {
  return error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory;
}

// Sorted; none of what is no folder. Errors: kIo.
Result<std::vector<fs::path>> children(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  if (is_no_folder(error)) return found;
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    found.push_back(it->path());
  }
  if (error) return unlisted(folder, error);
  std::ranges::sort(found);
  return found;
}

// All below a folder that are no folders, links included, by their paths from it. Errors: kIo.
Result<std::vector<std::string>> leaves(const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  if (is_no_folder(error)) return found;
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code unknown;
    if (it->symlink_status(unknown).type() == fs::file_type::directory) continue;
    found.push_back(it->path().lexically_relative(folder).string());
  }
  if (error) return unlisted(folder, error);
  std::ranges::sort(found);
  return found;
}

std::uint64_t bytes_on_disk(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

bool is_unfinished(const std::string& name) {
  return name.ends_with(".tern-part") || name.ends_with(".tern-journal") ||
         name.ends_with(".incomplete");
}

std::string read_ref(const fs::path& path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text);
  return is_commit(text) ? text : "";
}

// Folders that are empty now, upwards, without `top` itself.
void remove_empty_folders(fs::path folder, const fs::path& top) {
  std::error_code error;
  while (folder != top && fs::is_empty(folder, error) && !error) {
    fs::remove(folder, error);
    folder = folder.parent_path();
  }
}

// The hashes to which snapshots lead.
Result<std::set<std::string>> used_blobs(const fs::path& top) {
  std::set<std::string> used;
  TERN_ASSIGN(const auto snapshots, children(top / "snapshots"));
  for (const fs::path& snapshot : snapshots) {
    TERN_ASSIGN(const auto files, leaves(snapshot));
    for (const std::string& file : files) {
      std::error_code no_link;
      used.insert(fs::read_symlink(snapshot / file, no_link).filename());
    }
  }
  return used;
}

Result<FileDescriptor> open_lock(const fs::path& path) {
  TERN_TRY(make_folders(path.parent_path()));
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd.is_open()) return io_error(path, "cannot open the lock", errno);
  return fd;
}

// Names that lead nowhere now, and a repository of which nothing is left.
Result<void> remove_emptied(const fs::path& top) {
  std::error_code error;
  TERN_ASSIGN(const auto names, leaves(top / "refs"));
  for (const std::string& name : names) {
    const std::string leads_to = read_ref(top / "refs" / name);
    if (fs::exists(top / "snapshots" / leads_to, error) && !leads_to.empty()) continue;
    fs::remove(top / "refs" / name, error);
    remove_empty_folders((top / "refs" / name).parent_path(), top);
  }
  TERN_ASSIGN(const auto snapshots, children(top / "snapshots"));
  TERN_ASSIGN(const auto blobs, children(top / "blobs"));
  if (!snapshots.empty() || !blobs.empty()) return {};
  fs::remove_all(top / ".no_exist", error);  // what other tools know to be missing
  // Each where it is empty: a pull may have begun since.
  for (const char* name : {"snapshots", "blobs", "refs", ""}) fs::remove(top / name, error);
  return {};
}

}  // namespace

fs::path HubCache::repo_path(const std::string& repo) const {
  std::string folder(kPrefix);
  const std::size_t slash = repo.find('/');
  folder.append(repo.substr(0, slash));
  if (slash != std::string::npos) folder.append("--").append(repo.substr(slash + 1));
  return path_ / folder;
}

fs::path HubCache::blob_path(const std::string& repo, const std::string& hash) const {
  return repo_path(repo) / "blobs" / hash;
}

fs::path HubCache::snapshot_path(const std::string& repo, const std::string& commit) const {
  return repo_path(repo) / "snapshots" / commit;
}

std::optional<std::string> HubCache::commit_of(const ModelRef& ref) const {
  if (is_commit(ref.revision)) return ref.revision;
  std::string commit = read_ref(repo_path(ref.repo) / "refs" / ref.revision);
  return commit.empty() ? std::nullopt : std::optional(std::move(commit));
}

std::optional<fs::path> HubCache::find(const std::string& repo, const std::string& commit,
                                       const std::string& file) const {
  const fs::path path = snapshot_path(repo, commit) / file;
  std::error_code error;
  return fs::is_regular_file(path, error) ? std::optional(path) : std::nullopt;
}

fs::path HubCache::lock_path(const std::string& repo, const std::string& hash) const {
  return path_ / ".locks" / repo_path(repo).filename() / (hash + ".lock");
}

Result<FileDescriptor> HubCache::lock(const std::string& repo, const std::string& hash,
                                      const std::function<void()>& waiting,
                                      const std::stop_token& stop) const {
  const fs::path path = lock_path(repo, hash);
  TERN_ASSIGN(FileDescriptor fd, open_lock(path));
  for (bool told = false; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; told = true) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return io_error(path, "cannot lock", errno);
    if (!told && waiting) waiting();
    if (stop.stop_requested()) return Error{ErrorCode::kIo, "interrupted", path.string()};
    std::this_thread::sleep_for(kLockPeriod);
  }
  return fd;
}

Result<void> HubCache::link(const std::string& repo, const std::string& commit,
                            const std::string& file, const std::string& hash) const {
  const fs::path path = snapshot_path(repo, commit) / file;
  const fs::path target = blob_path(repo, hash).lexically_relative(path.parent_path());
  TERN_TRY(make_folders(path.parent_path()));
  std::error_code error;
  if (fs::read_symlink(path, error) == target && !error) return {};
  fs::path beside = path;
  beside += ".tmp-" + std::to_string(::getpid());
  ::unlink(beside.c_str());
  if (::symlink(target.c_str(), beside.c_str()) != 0) {
    return io_error(path, "cannot make a link to the blob", errno);
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    const int failed = errno;
    ::unlink(beside.c_str());
    return io_error(path, "cannot put the link at its place", failed);
  }
  return {};
}

Result<void> HubCache::remember(const ModelRef& ref, const std::string& commit) const {
  if (is_commit(ref.revision)) return {};
  const fs::path path = repo_path(ref.repo) / "refs" / ref.revision;
  if (read_ref(path) == commit) return {};
  TERN_TRY(make_folders(path.parent_path()));
  TERN_ASSIGN(AtomicFile file, AtomicFile::create(path));
  TERN_TRY(file.write(std::as_bytes(std::span(commit))));
  return file.commit();
}

Result<CachedRepo> HubCache::read_repo(const std::string& folder) const {
  CachedRepo found;
  found.repo = *repo_of(folder);
  const fs::path top = path_ / folder;
  std::error_code ignored;
  TERN_ASSIGN(const auto blobs, children(top / "blobs"));
  for (const fs::path& blob : blobs) {
    (is_unfinished(blob.filename()) ? found.part_bytes : found.bytes) += bytes_on_disk(blob);
  }
  TERN_ASSIGN(const auto snapshots, children(top / "snapshots"));
  for (const fs::path& snapshot : snapshots) {
    CachedRevision revision{snapshot.filename(), {}, {}};
    TERN_ASSIGN(const auto files, leaves(snapshot));
    for (const std::string& file : files) {
      const fs::path path = snapshot / file;
      const fs::path blob = fs::weakly_canonical(path, ignored);
      const std::uint64_t bytes = fs::file_size(path, ignored);
      if (!ignored) revision.files.push_back({file, blob, bytes});
    }
    found.revisions.push_back(std::move(revision));
  }
  TERN_ASSIGN(const auto names, leaves(top / "refs"));
  for (const std::string& name : names) {
    const std::string commit = read_ref(top / "refs" / name);
    for (CachedRevision& revision : found.revisions) {
      if (revision.commit == commit) revision.names.push_back(name);
    }
  }
  return found;
}

Result<CacheListing> HubCache::list() const {
  CacheListing listing;
  std::error_code error;
  TERN_ASSIGN(const auto folders, children(path_));
  for (const fs::path& folder : folders) {
    if (!repo_of(folder.filename()) || !fs::is_directory(folder, error)) continue;
    auto repo = read_repo(folder.filename());
    if (repo) {
      listing.repos.push_back(std::move(*repo));
    } else {
      listing.unread.push_back(std::move(repo.error()));
    }
  }
  return listing;
}

// Blobs to which no snapshot leads, and parts; each under its lock, so that what another process
// brings at the moment stays.
Result<Removed> HubCache::remove_unused(const std::string& repo) const {
  const fs::path top = repo_path(repo);
  TERN_ASSIGN(const std::set<std::string> used, used_blobs(top));
  Removed removed;
  TERN_ASSIGN(const auto blobs, children(top / "blobs"));
  for (const fs::path& blob : blobs) {
    const std::string name = blob.filename();
    if (used.contains(name)) continue;
    const std::string hash = name.substr(0, name.find('.'));
    const fs::path lock = lock_path(repo, hash);
    TERN_ASSIGN(const FileDescriptor fd, open_lock(lock));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) continue;
      return io_error(lock, "cannot lock", errno);
    }
    // A link to it may have been made since, under this lock.
    TERN_ASSIGN(const std::set<std::string> used_now, used_blobs(top));
    if (used_now.contains(name)) continue;
    const std::uint64_t bytes = bytes_on_disk(blob);
    if (::unlink(blob.c_str()) != 0) return io_error(blob, "cannot remove", errno);
    removed.bytes += bytes;
    removed.files += is_unfinished(name) ? 0 : 1;
  }
  return removed;
}

Result<Removed> HubCache::remove(const ModelRef& ref) const {
  const fs::path top = repo_path(ref.repo);
  const Error missing{ErrorCode::kUsage, "there is nothing of it in " + path_.string(),
                      ref.to_string()};
  std::error_code error;
  if (!fs::is_directory(top, error)) return missing;
  // What cannot be listed may need any blob: nothing goes before all was seen.
  TERN_ASSIGN(const CachedRepo before, read_repo(top.filename()));
  const auto commit = commit_of(ref);
  const fs::path snapshot = commit ? top / "snapshots" / *commit : fs::path();
  const bool known = commit && fs::is_directory(snapshot, error);
  if (!ref.file.empty()) {
    const fs::path path = snapshot / ref.file;
    const fs::file_status status = fs::symlink_status(path, error);
    if (!known || !fs::exists(status) || fs::is_directory(status)) return missing;
    if (!fs::remove(path, error)) return io_error(path, "cannot remove", error.value());
    remove_empty_folders(path.parent_path(), top / "snapshots");
  } else if (known) {
    fs::remove_all(snapshot, error);
    if (error) return io_error(snapshot, "cannot remove", error.value());
  } else if (!before.revisions.empty()) {
    return missing;
  }
  TERN_ASSIGN(const Removed removed, remove_unused(ref.repo));
  TERN_TRY(remove_emptied(top));
  return removed;
}

}  // namespace tern::hub
