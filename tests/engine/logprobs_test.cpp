#include "engine/logprobs.h"

#include <gtest/gtest.h>

#include <cmath>

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

TEST(Logprobs, ThereAreNoMoreThanTokens) {
  EXPECT_EQ(log_probabilities(std::vector<float>{1.0f, 2.0f}, 1, 20).size(), 3u);
}

}  // namespace
}  // namespace tern::engine
