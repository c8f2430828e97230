#include "hub/download.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "hub/blob_hash.h"
#include "hub/part_file.h"

namespace tern::hub {
namespace {

// The bytes of one file, until all are there or an error is.
class Transfer {
 public:
  Transfer(const RemoteFile& file, PartFile& part, const DownloadOptions& options)
      : file_(file), part_(part), options_(options) {}

  // The hash of all bytes.
  Result<std::string> run() {
    const std::stop_callback forward(options_.stop, [this] { stop_.request_stop(); });
    {
      std::vector<std::jthread> team;
      start(team);
      hash_in_order();
    }
    if (error_) return *error_;
    if (options_.stop.stop_requested()) return interrupted();
    return hash_.finish();
  }

  // The same from a server that ignores ranges.
  Result<std::string> run_whole() {
    std::vector<std::byte> buffer;
    TERN_TRY(file_.fetch_whole(
        [&](std::uint64_t, std::span<const std::byte> bytes) {
          return add_to_chunks(bytes, buffer);
        },
        options_.stop));
    hash_in_order();
    if (error_) return *error_;
    return hash_.finish();
  }

  std::uint64_t fetched() const { return fetched_; }

 private:
  Error interrupted() const { return Error{ErrorCode::kIo, "interrupted", file_.name()}; }

  void start(std::vector<std::jthread>& team) {
    const std::size_t wanted = std::min<std::size_t>(options_.connections, part_.chunks());
    try {
      while (team.size() < wanted) team.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {  // fewer do as well, none do not
      if (team.empty()) fail({ErrorCode::kOutOfMemory, error.what(), "a thread to download with"});
    }
  }

  void work() {
    std::vector<std::byte> buffer;
    while (!stop_.stop_requested()) {
      const std::size_t chunk = next_++;
      if (chunk >= part_.chunks()) return;
      if (part_.has(chunk)) continue;
      if (auto done = bring(chunk, buffer); !done) {
        fail(std::move(done.error()));
        return;
      }
    }
  }

  Result<void> bring(std::size_t chunk, std::vector<std::byte>& buffer) {
    const std::uint64_t begin = part_.begin_of(chunk);
    buffer.resize(part_.end_of(chunk) - begin);
    TERN_TRY(file_.fetch(
        begin, part_.end_of(chunk),
        [&](std::uint64_t at, std::span<const std::byte> bytes) -> Result<void> {
          if (stop_.stop_requested()) return interrupted();
          std::ranges::copy(bytes, buffer.begin() + static_cast<std::ptrdiff_t>(at - begin));
          arrived(bytes.size());
          return {};
        },
        stop_.get_token()));
    return part_.write(chunk, buffer);
  }

  // A stream of bytes, cut into chunks.
  Result<void> add_to_chunks(std::span<const std::byte> bytes, std::vector<std::byte>& buffer) {
    while (!bytes.empty()) {
      const std::uint64_t wanted = part_.end_of(next_) - part_.begin_of(next_) - buffer.size();
      const auto taken = bytes.first(std::min<std::uint64_t>(wanted, bytes.size()));
      buffer.insert(buffer.end(), taken.begin(), taken.end());
      bytes = bytes.subspan(taken.size());
      arrived(taken.size());
      if (taken.size() != wanted) continue;
      TERN_TRY(part_.write(next_++, buffer));
      buffer.clear();
    }
    return {};
  }

  // Behind the others, so that the hash is there when the last chunk is.
  void hash_in_order() {
    std::vector<std::byte> bytes;
    for (std::size_t chunk = 0; chunk < part_.chunks(); ++chunk) {
      if (!part_.wait_for(chunk, stop_.get_token())) return;
      if (auto read = part_.read(chunk, bytes); !read) {
        fail(std::move(read.error()));
        return;
      }
      hash_.update(bytes);
    }
  }

  void arrived(std::uint64_t bytes) {
    fetched_ += bytes;
    if (options_.arrived) options_.arrived(bytes, 0);
  }

  // The first error is the one to tell.
  void fail(Error error) {
    const std::scoped_lock lock(mutex_);
    if (!error_) error_ = std::move(error);
    stop_.request_stop();
  }

  const RemoteFile& file_;
  PartFile& part_;
  const DownloadOptions& options_;
  BlobHash hash_{file_.entry().hash, file_.entry().size};
  std::stop_source stop_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint64_t> fetched_{0};
  std::mutex mutex_;
  std::optional<Error> error_;
};

void tell(const DownloadOptions& options, const std::string& text) {
  if (options.notice) options.notice(text);
}

// All bytes, by ranges where the server has them.
Result<std::string> bring_all(const RemoteFile& file, PartFile& part,
                              const DownloadOptions& options, Downloaded& downloaded) {
  {
    Transfer transfer(file, part, options);
    auto hash = transfer.run();
    downloaded.fetched_bytes += transfer.fetched();
    if (hash || !file.ignores_ranges()) return hash;
  }
  tell(options, file.name() +
                    ": the server ignores ranges: brought in one stream, which cannot "
                    "go on where it was cut");
  TERN_TRY(part.discard());
  Transfer transfer(file, part, options);
  auto hash = transfer.run_whole();
  downloaded.fetched_bytes += transfer.fetched();
  return hash;
}

}  // namespace

Result<Downloaded> download(RemoteFile& file, const std::filesystem::path& blob,
                            const DownloadOptions& options) {
  const RemoteEntry& entry = file.entry();
  TERN_ASSIGN(const auto part, PartFile::open(blob, entry.hash, entry.size, options.chunk_bytes));
  Downloaded downloaded;
  downloaded.resumed_bytes = part->resumed_bytes();
  if (options.arrived) options.arrived(0, downloaded.resumed_bytes);
  for (bool again = false;; again = true) {
    const bool resumed = part->resumed_bytes() != 0;
    auto hash = bring_all(file, *part, options, downloaded);
    if (!hash && (!file.changed() || again)) return hash.error();
    if (hash && *hash == entry.hash) break;
    // Bytes of two files, or of an earlier call, may have met: once more from the beginning.
    if (hash && (!resumed || again)) {
      part->remove();
      return Error{ErrorCode::kMalformed,
                   "the bytes have not the hash that the server lists: expected " + entry.hash +
                       ", found " + *hash + "; they were removed",
                   file.name()};
    }
    tell(options, file.name() + ": " +
                      (hash ? "what was brought before does not fit the rest"
                            : "the file changed on the server") +
                      "; brought again from its beginning");
    file.accept_change();
    TERN_TRY(part->discard());
  }
  TERN_TRY(part->commit());
  return downloaded;
}

}  // namespace tern::hub
