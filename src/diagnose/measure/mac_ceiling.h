// How many int8 multiply-accumulates a second the cores can do with a tier's instructions, on
// registers alone: the ceiling of prefill, in which every weight serves many tokens.
#pragma once

#include <chrono>
#include <cstdint>

#include "core/result.h"
#include "diagnose/measure/span.h"

namespace tern::diagnose {

// Does `steps` steps of a tier's multiply-accumulate instructions and returns how many
// multiply-accumulates those were: KernelTable::multiply_accumulate_loop.
using MacLoop = std::uint64_t (*)(std::uint64_t steps);

inline constexpr std::chrono::milliseconds kMacBudget{300};
inline constexpr std::chrono::milliseconds kMacRateBudget{100};  // beside something else

// Multiply-accumulates a second of `threads` threads together: the best of the passes, each of
// some milliseconds, that the budget holds; at least one. Errors: kOutOfMemory for the threads,
// kNumeric for a loop that does none.
Result<double> measure_mac_ceiling(MacLoop loop, std::uint32_t threads,
                                   std::chrono::milliseconds budget,
                                   Now now = std::chrono::steady_clock::now);

}  // namespace tern::diagnose
