#include "diagnose/measure/repeat.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>

namespace tern::diagnose {
namespace {

struct Attempt {
  double value;
  double disturbance;
};

// The `count` least disturbed ones, the earlier of equals, in the order in which they were made.
std::vector<std::size_t> least_disturbed(const std::vector<Attempt>& attempts, std::size_t count) {
  std::vector<std::size_t> order(attempts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return attempts[a].disturbance < attempts[b].disturbance;
  });
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

Error too_disturbed(std::string_view what, const Repetitions& repetitions,
                    const std::vector<Attempt>& attempts) {
  const auto borne = std::count_if(attempts.begin(), attempts.end(), [&](const Attempt& attempt) {
    return attempt.disturbance <= repetitions.most_borne;
  });
  return Error{ErrorCode::kNumeric,
               fmt::format("expected {} repetitions of which the hypervisor takes at most {:.0f}% "
                           "of this machine's time, found {} of {}; measure when it is quiet",
                           repetitions.count, 100 * repetitions.most_borne, borne, attempts.size()),
               std::string(what)};
}

}  // namespace

double disturbance(const CpuTime& before, const CpuTime& after) {
  const double share = stolen_share(before, after);
  const bool disturbed =
      share > kMostStolenShare && after.stolen >= before.stolen + kLeastStolenJiffies;
  return disturbed ? share : 0.0;
}

Result<std::optional<Repeated>> repeat(std::string_view what, const Repetitions& repetitions,
                                       const Repetition& once) {
  const std::uint32_t most = std::max(kMostAttemptsFactor * repetitions.count, kFewAttempts);
  std::vector<Attempt> attempts;
  std::uint32_t undisturbed = 0;
  while (undisturbed < repetitions.count && attempts.size() < most) {
    const auto before = repetitions.clock();
    TERN_ASSIGN(const std::optional<double> value, once());
    if (!value) return std::optional<Repeated>();
    const auto after = repetitions.clock();
    attempts.push_back({*value, before && after ? disturbance(*before, *after) : 0.0});
    if (attempts.back().disturbance == 0.0) ++undisturbed;
  }
  Repeated result;
  result.kept = least_disturbed(attempts, repetitions.count);
  std::vector<double> values;
  for (const std::size_t i : result.kept) {
    values.push_back(attempts[i].value);
    result.disturbance = std::max(result.disturbance, attempts[i].disturbance);
  }
  if (result.disturbance > repetitions.most_borne) {
    return too_disturbed(what, repetitions, attempts);
  }
  result.discarded = static_cast<std::uint32_t>(attempts.size() - result.kept.size());
  result.value = quartiles(values);
  return std::optional(std::move(result));
}

}  // namespace tern::diagnose
