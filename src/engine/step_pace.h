// How many tokens of prompts a step takes in while others wait for their next token: as many as
// lengthen it to so many times what it takes without them. Learnt from the steps that were; which
// tokens share a step changes no result.
#pragma once

#include <cstdint>

namespace tern::engine {

class StepPace {
 public:
  // `stretch`: the longest step beside one without prompts, above 1. Infinity: nothing is learnt.
  explicit StepPace(double stretch) : stretch_(stretch) {}

  // Up to `most`; a few until it is known what they cost. 0 at first and now and then, so that what
  // a step takes without prompts is known of those who decode by now; else at least 1.
  std::uint32_t prompt_tokens(std::uint32_t most) const;
  // A step of some sequences that decoded, with so many tokens of prompts beside them.
  void note(std::uint32_t prompt_tokens, double seconds);
  // A step that had nothing to compute: those who decode waited. The next one has prompts again.
  void skip() { since_ = 0; }

 private:
  // After so many steps with prompts comes one without: 2.3% of the time at a stretch of 2.6.
  static constexpr std::uint32_t kStepsWithPrompts = 16;

  double stretch_;
  double without_ = 0.0;  // seconds of a step without prompts; 0: not known
  // Of steps with prompts: how many seconds longer they were, and for how many of their tokens. The
  // ratio of the two means, as a mean of ratios would be that of the steps with few tokens. 0: not
  // known.
  double longer_ = 0.0;
  double tokens_ = 0.0;
  // Steps with prompts since the last one without, which is due at first.
  std::uint32_t since_ = kStepsWithPrompts;
};

}  // namespace tern::engine
