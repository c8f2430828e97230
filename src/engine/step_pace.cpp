#include "engine/step_pace.h"

#include <algorithm>
#include <cmath>

namespace tern::engine {
namespace {

// New steps count for so much: quick enough for attention that grows with a prompt.
constexpr double kWeight = 0.3;

void smooth(double& value, double found) {
  value = value == 0.0 ? found : value + kWeight * (found - value);
}

}  // namespace

std::uint32_t StepPace::prompt_tokens(std::uint32_t most) const {
  if (!std::isfinite(stretch_) || without_ == 0.0 || a_token_ == 0.0) return most;
  const double tokens = (stretch_ - 1.0) * without_ / a_token_;
  return static_cast<std::uint32_t>(std::clamp(tokens, 1.0, static_cast<double>(most)));
}

void StepPace::note(std::uint32_t prompt_tokens, double seconds) {
  if (prompt_tokens == 0) {
    smooth(without_, seconds);
  } else if (without_ > 0.0) {
    // A step that was no longer has told us little; a token is never free.
    smooth(a_token_, std::max(seconds - without_, 0.01 * seconds) / prompt_tokens);
  }
}

}  // namespace tern::engine
