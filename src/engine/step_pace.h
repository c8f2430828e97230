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

  // 1 to `most`: all of it as long as nothing is known.
  std::uint32_t prompt_tokens(std::uint32_t most) const;
  // A step of some sequences that decoded, with so many tokens of prompts beside them.
  void note(std::uint32_t prompt_tokens, double seconds);

 private:
  double stretch_;
  double without_ = 0.0;  // seconds of a step without prompts; 0: not known
  double a_token_ = 0.0;  // seconds that each token of a prompt adds; 0: not known
};

}  // namespace tern::engine
