// How fast this machine's cores really read memory: the ceiling of decode, which reads every weight
// once a token.
//
// No one way of reading is the fastest everywhere, so each pass tries eight: 1, 2, 4 and 8 streams
// a thread, each with and without prefetching, and the best counts.
#pragma once

#include <chrono>
#include <cstdint>

#include "core/result.h"
#include "diagnose/measure/span.h"

namespace tern::diagnose {

struct ReadCeiling {
  double bytes_per_second = 0.0;   // of the best loop
  std::uint64_t buffer_bytes = 0;  // that one loop reads
  std::uint32_t streams = 0;       // that each thread read at once in the best loop
  bool prefetch = false;           // whether it prefetched
};

// Enough for the last line of `tern run`, in 50 ms: caches of the CPUs of today are a few times
// smaller at most.
inline constexpr std::uint64_t kShortReadBuffer = std::uint64_t{256} << 20;
inline constexpr std::chrono::milliseconds kShortReadBudget{50};
// Beyond every cache.
inline constexpr std::uint64_t kLongReadBuffer = std::uint64_t{2} << 30;
inline constexpr std::chrono::milliseconds kLongReadBudget{2000};
// For a rate beside something else, often repeated.
inline constexpr std::uint64_t kRateReadBuffer = std::uint64_t{512} << 20;
inline constexpr std::chrono::milliseconds kRateReadBudget{200};

// Reads a buffer of `bytes` (at least 64 KiB; rounded up to 4 KiB) with `threads` threads, each its
// own part, which it was the first to touch: every loop at least once, and again until the budget
// is spent. The memory is given back to the system before this returns. Errors: kOutOfMemory.
Result<ReadCeiling> measure_read_ceiling(std::uint64_t bytes, std::uint32_t threads,
                                         std::chrono::milliseconds budget,
                                         Now now = std::chrono::steady_clock::now);

// What memory gives now, in bytes a second: a machine that is shared gives more in one second and
// less in the next, and a ceiling is the most that it ever gave. The mean of reading a buffer of
// `bytes` in the best way of `ceiling` until the budget is spent. Errors: as above.
Result<double> measure_read_rate(const ReadCeiling& ceiling, std::uint64_t bytes,
                                 std::uint32_t threads, std::chrono::milliseconds budget,
                                 Now now = std::chrono::steady_clock::now);

}  // namespace tern::diagnose
