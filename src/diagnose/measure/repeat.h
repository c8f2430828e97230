// Repeats a measurement until enough repetitions were left undisturbed, or nearly so.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "diagnose/measure/statistics.h"
#include "diagnose/measure/steal.h"

namespace tern::diagnose {

// A repetition during which a hypervisor took more than this share of the machine's time is
// disturbed, and made again. The kernel counts in jiffies, so that one alone says nothing.
inline constexpr double kMostStolenShare = 0.01;
inline constexpr std::uint64_t kLeastStolenJiffies = 2;
// Where too few are undisturbed, the least disturbed count, up to this share, or another one that
// Repetitions say.
inline constexpr double kMostBorneShare = 0.05;
// More attempts than this many times the repetitions are not made; but a few always are, so that a
// single repetition waits out what lasts some seconds.
inline constexpr std::uint32_t kMostAttemptsFactor = 3;
inline constexpr std::uint32_t kFewAttempts = 12;

// Of the time between two readings what a hypervisor took; 0 where that does not count as
// disturbed.
double disturbance(const CpuTime& before, const CpuTime& after);

struct Repeated {
  Quartiles value;
  std::uint32_t discarded = 0;
  std::vector<std::size_t> kept = {};  // which of all repetitions that were made count
  double disturbance = 0.0;            // the most of those that count
};

struct Repetitions {
  std::uint32_t count = 7;
  // Reads the machine's time; without a value nothing can be called disturbed.
  std::function<std::optional<CpuTime>()> clock = [] { return read_cpu_time(); };
  double most_borne = kMostBorneShare;
};

// One repetition: its value, none where the caller was asked to stop, or its error.
using Repetition = std::function<Result<std::optional<double>>()>;

// No value where a repetition had none. Errors: those of a repetition; kNumeric, naming `what`,
// where too many were disturbed by more than can be borne.
Result<std::optional<Repeated>> repeat(std::string_view what, const Repetitions& repetitions,
                                       const Repetition& once);

}  // namespace tern::diagnose
