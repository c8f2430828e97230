#include "engine/logprobs.h"

#include <algorithm>
#include <numeric>

#include "core/fixed_math.h"

namespace tern::engine {

using text::TokenId;

std::vector<TokenLogprob> log_probabilities(std::span<const float> logits, TokenId chosen,
                                            std::uint32_t count) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  const double log_sum = largest + fixed_log(fixed_exp_sum(logits, largest));
  const auto logprob = [&](TokenId token) {
    return TokenLogprob{token, logits[static_cast<std::size_t>(token)] - log_sum};
  };
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end =
      order.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(count, order.size()));
  std::partial_sort(order.begin(), end, order.end(), [&](TokenId a, TokenId b) {
    const float x = logits[static_cast<std::size_t>(a)];
    const float y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  std::vector<TokenLogprob> found{logprob(chosen)};
  for (auto token = order.begin(); token != end; ++token) found.push_back(logprob(*token));
  return found;
}

}  // namespace tern::engine
