#include "diagnose/measure/repeat.h"

#include <algorithm>
#include <string>

namespace tern::diagnose {

bool is_disturbed(const CpuTime& before, const CpuTime& after) {
  return after.stolen >= before.stolen + kLeastStolenJiffies &&
         stolen_share(before, after) > kMostStolenShare;
}

Result<std::optional<Repeated>> repeat(std::string_view what, const Repetitions& repetitions,
                                       const Repetition& once) {
  std::vector<double> values;
  Repeated result;
  const std::uint32_t most = std::max(kMostAttemptsFactor * repetitions.count, kFewAttempts);
  while (values.size() < repetitions.count) {
    if (values.size() + result.discarded == most) {
      return Error{ErrorCode::kNumeric,
                   "expected " + std::to_string(repetitions.count) +
                       " undisturbed repetitions, found " + std::to_string(values.size()) + " of " +
                       std::to_string(values.size() + result.discarded) +
                       ": the hypervisor gives this machine's time to others; measure when it is "
                       "quiet",
                   std::string(what)};
    }
    const auto before = repetitions.clock();
    TERN_ASSIGN(const std::optional<double> value, once());
    if (!value) return std::optional<Repeated>();
    const auto after = repetitions.clock();
    if (before && after && is_disturbed(*before, *after)) {
      ++result.discarded;
    } else {
      result.kept.push_back(values.size() + result.discarded);
      values.push_back(*value);
    }
  }
  result.value = quartiles(values);
  return std::optional(result);
}

}  // namespace tern::diagnose
