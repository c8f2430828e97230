#include "hub/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace tern::hub {

Result<void> Spool::open(std::uint64_t bytes) {
  if (!fd_.is_open()) {
    std::string name = (folder_ / ".tern-spool-XXXXXX").string();
    fd_ = FileDescriptor(::mkostemp(name.data(), O_CLOEXEC));
    if (!fd_.is_open()) return io_error(folder_, "cannot make a file for what is brought", errno);
    ::unlink(name.c_str());
  }
  if (::ftruncate(fd_.get(), 0) != 0) return io_error(folder_, "cannot empty a file", errno);
  struct statvfs room {};
  if (::fstatvfs(fd_.get(), &room) != 0) {
    return io_error(folder_, "cannot ask for free space", errno);
  }
  const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (bytes <= free) return {};
  return Error{ErrorCode::kIo,
               "a piece of " + std::to_string(bytes) + " bytes has to be kept for a while, and " +
                   std::to_string(free) + " are free; free some, or write elsewhere",
               folder_.string()};
}

Result<void> Spool::fill(const RemoteFile& file, std::uint64_t begin, std::uint64_t end,
                         unsigned connections, std::uint64_t chunk_bytes,
                         const std::stop_token& stop) {
  begin_ = end_ = 0;
  TERN_TRY(open(end - begin));
  std::atomic<std::uint64_t> next{begin};
  std::stop_source ended;
  const std::stop_callback forward(stop, [&] { ended.request_stop(); });
  std::mutex mutex;
  std::optional<Error> failed;
  const auto work = [&] {
    for (std::uint64_t at = next.fetch_add(chunk_bytes); at < end && !ended.stop_requested();
         at = next.fetch_add(chunk_bytes)) {
      auto brought = file.fetch(
          at, std::min(at + chunk_bytes, end),
          [&](std::uint64_t offset, std::span<const std::byte> bytes) {
            return write_all_at(fd_.get(), offset - begin, bytes, folder_);
          },
          ended.get_token());
      if (brought) continue;
      const std::scoped_lock lock(mutex);
      if (!failed) failed = std::move(brought.error());
      ended.request_stop();
    }
  };
  {
    std::vector<std::jthread> team;
    const std::uint64_t chunks = (end - begin + chunk_bytes - 1) / chunk_bytes;
    try {
      while (team.size() + 1 < std::min<std::uint64_t>(connections, chunks)) {
        team.emplace_back(work);
      }
    } catch (const std::system_error&) {  // fewer do as well
    }
    work();
  }
  if (failed) return *failed;
  if (stop.stop_requested()) return Error{ErrorCode::kIo, "interrupted", file.name()};
  begin_ = begin;
  end_ = end;
  return {};
}

Result<void> Spool::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  return read_all_at(fd_.get(), offset - begin_, bytes, folder_);
}

}  // namespace tern::hub
