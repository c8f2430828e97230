// How a cache entry begins on disk. Of cache_dir alone.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "core/cache_dir.h"
#include "core/result.h"

namespace tern {

// The first page of an entry; the payload follows.
struct CacheHeader {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t subject_bytes;
  std::uint32_t variant_bytes;
  std::uint32_t unused;
  std::uint64_t payload_bytes;
  std::array<char, kMostLabelBytes> subject;
  std::array<char, kMostLabelBytes> variant;
  std::array<char, 2008> padding;
  std::uint64_t hash;  // of all before it
};
inline constexpr std::uint64_t kCacheHeaderBytes = 4096;
static_assert(sizeof(CacheHeader) == kCacheHeaderBytes);

CacheHeader make_cache_header(const CacheLabel& label, std::uint64_t payload_bytes);
CacheLabel label_of(const CacheHeader& header);

// Whether an open file of `file_bytes` is one that a writer of entries made: it is empty, as in its
// first moment, or begins as entries of all versions do. What cannot be read is not.
bool is_cache_file(int fd, std::uint64_t file_bytes);

// The header of an open file of `file_bytes`. Errors: kMalformed where it is no whole entry of this
// version, kIo.
Result<CacheHeader> read_cache_header(int fd, std::uint64_t file_bytes,
                                      const std::filesystem::path& path);

}  // namespace tern
