// Log-probabilities of tokens, for those who ask what else the model might have said.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/token.h"

namespace tern::engine {

struct TokenLogprob {
  text::TokenId token;
  double logprob;  // natural logarithm
};

// Of `chosen`, then of the `count` most probable tokens, the most probable first, ties to the
// lowest id: the softmax of the logits as the model gives them, before penalties, bias and
// temperature.
std::vector<TokenLogprob> log_probabilities(std::span<const float> logits, text::TokenId chosen,
                                            std::uint32_t count);

}  // namespace tern::engine
