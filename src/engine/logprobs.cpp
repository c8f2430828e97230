#include "engine/logprobs.h"

#include <algorithm>
#include <numeric>

#include "core/fixed_math.h"

namespace tern::engine {

using text::TokenId;

namespace {

// The `count` tokens of the largest logits, in order, ties to the lowest id.
std::vector<TokenId> most_probable(std::span<const float> logits, std::size_t count) {
  const auto logit = [&](TokenId token) { return logits[static_cast<std::size_t>(token)]; };
  const auto is_before = [&](TokenId a, TokenId b) {
    return logit(a) != logit(b) ? logit(a) > logit(b) : a < b;
  };
  count = std::min(count, logits.size());
  std::vector<TokenId> found(count);  // a heap, whose first is the least of them
  std::iota(found.begin(), found.end(), 0);
  if (count == 0) return found;
  std::make_heap(found.begin(), found.end(), is_before);
  float least = logit(found.front());
  for (std::size_t i = count; i < logits.size(); ++i) {
    if (logits[i] <= least) continue;  // an equal one has the higher id
    std::pop_heap(found.begin(), found.end(), is_before);
    found.back() = static_cast<TokenId>(i);
    std::push_heap(found.begin(), found.end(), is_before);
    least = logit(found.front());
  }
  std::sort_heap(found.begin(), found.end(), is_before);
  return found;
}

}  // namespace

std::vector<TokenLogprob> log_probabilities(std::span<const float> logits, TokenId chosen,
                                            std::uint32_t count) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  const double log_sum = largest + fixed_log(fixed_exp_sum(logits, largest));
  const auto logprob = [&](TokenId token) {
    return TokenLogprob{token, logits[static_cast<std::size_t>(token)] - log_sum};
  };
  std::vector<TokenLogprob> found{logprob(chosen)};
  for (const TokenId token : most_probable(logits, count)) found.push_back(logprob(token));
  return found;
}

}  // namespace tern::engine
