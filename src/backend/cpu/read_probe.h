// How fast this machine's cores really read memory: the ceiling of decode, which reads every weight
// once a token.
#pragma once

#include <cstdint>

#include "core/result.h"

namespace tern::backend {

struct ReadRate {
  double bytes_per_second = 0.0;   // of the best pass
  std::uint64_t buffer_bytes = 0;  // that one pass reads
  std::uint32_t streams = 0;       // that each thread reads at once in the best pass
};

// Beyond this size no cache helps, so a larger buffer would read no slower.
inline constexpr std::uint64_t kLargestReadProbe = std::uint64_t{256} << 20;

// Reads a buffer of `bytes` (at least 64 KiB, at most kLargestReadProbe) again and again for about
// 50 ms with `threads` threads, each its own part, which it was the first to touch. Errors:
// kOutOfMemory.
Result<ReadRate> probe_read_rate(std::uint64_t bytes, std::uint32_t threads);

}  // namespace tern::backend
