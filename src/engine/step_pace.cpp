#include "engine/step_pace.h"

#include <algorithm>
#include <cmath>

namespace tern::engine {
namespace {

// New steps count for so much: quick enough for attention that grows with a prompt.
constexpr double kWeight = 0.3;
// A step counts as at most so many times what was expected of it: longer ones had to wait for a
// core, and a prompt that does grow so fast is followed within a few steps.
constexpr double kMostSurprise = 2.0;
// Tokens of prompts that are taken to learn what they cost: few beside what a slow CPU computes in
// the time of a step.
constexpr std::uint32_t kFirstTokens = 16;

void smooth(double& value, double found) {
  value = value == 0.0 ? found : value + kWeight * (found - value);
}

double clipped(double seconds, double expected) {
  return expected == 0.0 ? seconds : std::min(seconds, kMostSurprise * expected);
}

}  // namespace

std::uint32_t StepPace::prompt_tokens(std::uint32_t most) const {
  if (!std::isfinite(stretch_)) return most;
  if (since_ >= kStepsWithPrompts) return 0;
  if (without_ == 0.0 || tokens_ == 0.0) return std::min(most, kFirstTokens);
  const double tokens = (stretch_ - 1.0) * without_ * tokens_ / longer_;
  return static_cast<std::uint32_t>(std::clamp(tokens, 1.0, static_cast<double>(most)));
}

void StepPace::note(std::uint32_t prompt_tokens, double seconds) {
  since_ = prompt_tokens == 0 ? 0 : since_ + 1;
  if (prompt_tokens == 0) {
    smooth(without_, clipped(seconds, without_));
  } else if (without_ > 0.0) {
    const double expected =
        tokens_ == 0.0 ? 0.0 : without_ + longer_ / tokens_ * static_cast<double>(prompt_tokens);
    const double counted = clipped(seconds, expected);
    // A step that was no longer has told us little; a token is never free.
    smooth(longer_, std::max(counted - without_, 0.01 * counted));
    smooth(tokens_, prompt_tokens);
  }
}

}  // namespace tern::engine
