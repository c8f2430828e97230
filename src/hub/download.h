// A file from a hub's server to its place on disk: by ranges, several at once, held to its hash
// before it appears.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "core/result.h"
#include "hub/remote_file.h"

namespace tern::hub {

struct DownloadOptions {
  unsigned connections = 4;
  std::uint64_t chunk_bytes = std::uint64_t{8} << 20;  // of a range, and of what a cut loses
  // Bytes that are there now, brought or left by an earlier call. From any thread.
  std::function<void(std::uint64_t fetched, std::uint64_t resumed)> arrived;
  std::function<void(const std::string& text)> notice;  // what is done in another way, and why
  std::stop_token stop;
};

struct Downloaded {
  std::uint64_t fetched_bytes = 0;  // by this call
  std::uint64_t resumed_bytes = 0;  // by an earlier one
};

// The file appears at `blob`, whole and right, or not at all; what was brought of it stays for
// another call, unless it is wrong. One call at a time for a blob: the caller holds a lock. Errors:
// those of RemoteFile, kIo, and kMalformed for bytes that have not the hash.
Result<Downloaded> download(RemoteFile& file, const std::filesystem::path& blob,
                            const DownloadOptions& options);

}  // namespace tern::hub
