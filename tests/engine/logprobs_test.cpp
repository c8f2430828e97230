#include "engine/logprobs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tern::engine {
namespace {

TEST(Logprobs, AreTheLogarithmsOfTheSoftmax) {
  const std::vector<float> logits{1.0f, -2.0f, 3.5f, 3.5f, 0.0f};
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  const auto found = log_probabilities(logits, 1, 3);
  ASSERT_EQ(found.size(), 4u);
  const text::TokenId expected[] = {1, 2, 3, 0};  // of equals the lower id first
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(found[i].token, expected[i]);
    const double logit = logits[static_cast<std::size_t>(expected[i])];
    EXPECT_NEAR(found[i].logprob, logit - std::log(sum), 1e-12);
  }
}

TEST(Logprobs, LargeLogitsDoNotOverflow) {
  const std::vector<float> logits{1000.0f, -1000.0f};
  const auto found = log_probabilities(logits, 0, 0);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NEAR(found[0].logprob, 0.0, 1e-12);
}

// Among many equals, whichever come first.
TEST(Logprobs, AreTheFirstOfAllInOrder) {
  std::vector<float> logits(3000);
  std::uint32_t state = 1;
  for (float& logit : logits) {
    state = state * 1664525 + 1013904223;
    logit = static_cast<float>(state >> 24) / 8.0f - 16.0f;
  }
  std::vector<text::TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](text::TokenId a, text::TokenId b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  for (const std::uint32_t count : {1u, 2u, 20u, 255u, 2999u, 3000u}) {
    const auto found = log_probabilities(logits, 7, count);
    ASSERT_EQ(found.size(), count + 1);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(found[i + 1].token, order[i]) << count;
  }
}

TEST(Logprobs, ThereAreNoMoreThanTokens) {
  EXPECT_EQ(log_probabilities(std::vector<float>{1.0f, 2.0f}, 1, 20).size(), 3u);
}

}  // namespace
}  // namespace tern::engine
