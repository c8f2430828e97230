// A piece of a remote file in a file without a name, which goes with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <stop_token>

#include "core/file_descriptor.h"
#include "core/result.h"
#include "hub/remote_file.h"

namespace tern::hub {

class Spool {
 public:
  explicit Spool(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Brings the bytes from `begin` up to `end` of a file, by several ranges at once. What was there
  // goes. Errors: kIo, also for a disk without room; those of RemoteFile::fetch.
  Result<void> fill(const RemoteFile& file, std::uint64_t begin, std::uint64_t end,
                    unsigned connections, std::uint64_t chunk_bytes, const std::stop_token& stop);

  bool holds(std::uint64_t offset, std::uint64_t bytes) const {
    return offset >= begin_ && offset + bytes <= end_;
  }
  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  Result<void> open(std::uint64_t bytes);

  std::filesystem::path folder_;
  FileDescriptor fd_;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace tern::hub
