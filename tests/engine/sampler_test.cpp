#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

namespace tern::engine {
namespace {

using text::TokenId;

// Everything off but the temperature.
SamplingOptions plain(float temperature) {
  return {.temperature = temperature, .top_k = 0, .top_p = 1.0f, .min_p = 0.0f};
}

TokenId sample(const SamplingOptions& options, const std::vector<float>& logits,
               std::uint32_t position = 0, const std::vector<TokenId>& history = {}) {
  auto sampler = Sampler::create(options);
  EXPECT_TRUE(sampler.ok());
  const auto token = sampler->sample(logits, position, history);
  EXPECT_TRUE(token.ok());
  return *token;
}

std::map<TokenId, int> counts(const SamplingOptions& options, const std::vector<float>& logits,
                              std::uint32_t draws) {
  auto sampler = *Sampler::create(options);
  std::map<TokenId, int> seen;
  for (std::uint32_t position = 0; position < draws; ++position) {
    ++seen[*sampler.sample(logits, position, {})];
  }
  return seen;
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowestIdOfEquals) {
  EXPECT_EQ(sample(plain(0.0f), {1.0f, 3.0f, 2.0f}), 1);
  EXPECT_EQ(sample(plain(0.0f), {1.0f, 3.0f, 3.0f}), 1);
}

TEST(Sampler, DrawsFromTheSoftmax) {
  const std::vector<float> logits{0.0f, 1.0f, 2.0f};
  auto seen = counts(plain(1.0f), logits, 30000);
  const double total = 1.0 + std::exp(1.0) + std::exp(2.0);
  for (TokenId token = 0; token < 3; ++token) {
    EXPECT_NEAR(seen[token] / 30000.0, std::exp(token) / total, 0.01);
  }
}

TEST(Sampler, TemperatureSharpens) {
  auto cold = counts(plain(0.5f), {0.0f, 1.0f}, 20000);
  EXPECT_NEAR(cold[1] / 20000.0, 1.0 / (1.0 + std::exp(-2.0)), 0.01);
}

TEST(Sampler, SeedAndPositionDecide) {
  const std::vector<float> logits(100, 0.0f);
  SamplingOptions options = plain(1.0f);
  const TokenId first = sample(options, logits, 5);
  EXPECT_EQ(sample(options, logits, 5), first);
  int changed = 0;
  for (std::uint32_t position = 6; position < 16; ++position) {
    changed += sample(options, logits, position) != first ? 1 : 0;
  }
  EXPECT_GE(changed, 8);
  options.seed = 1;
  changed = 0;
  for (std::uint32_t position = 0; position < 10; ++position) {
    changed += sample(options, logits, position) != sample(plain(1.0f), logits, position) ? 1 : 0;
  }
  EXPECT_GE(changed, 8);
}

// Logits so large that nothing drawn moves them.
TEST(Sampler, TheLowestIdOfEqualsWinsADraw) {
  for (std::uint32_t position = 0; position < 20; ++position) {
    EXPECT_EQ(sample(plain(1.0f), {0.0f, 1e30f, 1e30f}, position), 1);
  }
}

// What is switched off drops no token, not even one whose share is below the rounding of a sum.
TEST(Sampler, FiltersThatAreOffKeepAll) {
  EXPECT_EQ(counts(plain(100.0f), {0.0f, -50.0f}, 200).size(), 2u);
}

TEST(Sampler, TopKKeepsTheLargestLowestIdsFirst) {
  SamplingOptions options = plain(5.0f);
  options.top_k = 2;
  const auto seen = counts(options, {1.0f, 4.0f, 3.0f, 3.0f}, 2000);
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_TRUE(seen.contains(1));
  EXPECT_TRUE(seen.contains(2));
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesP) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const float ln2 = std::log(2.0f);
  const std::vector<float> logits{3 * ln2, 2 * ln2, ln2, ln2};
  SamplingOptions options = plain(5.0f);
  options.top_p = 0.7f;
  EXPECT_EQ(counts(options, logits, 2000).size(), 2u);
  options.top_p = 0.8f;
  EXPECT_EQ(counts(options, logits, 2000).size(), 3u);
  options.top_p = 1e-6f;
  EXPECT_EQ(counts(options, logits, 200).size(), 1u);
  // The largest need not come first.
  options.top_p = 0.7f;
  const auto seen = counts(options, {ln2, 3 * ln2, ln2, 2 * ln2}, 2000);
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_TRUE(seen.contains(1));
  EXPECT_TRUE(seen.contains(3));
}

// Of more tokens than are sorted at once, many of equal logits: those that sorting all would keep.
TEST(Sampler, TopPOfManyTokensKeepsTheMostProbable) {
  std::mt19937 random(3);
  std::vector<float> logits(1500);
  for (float& logit : logits) logit = static_cast<float>(random() % 64) / 32.0f;
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  double total = 0.0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit));
  for (const float share : {0.1f, 0.3f, 0.6f}) {  // of 255 or fewer, and of more
    SamplingOptions options = plain(100.0f);      // all that are kept come up
    options.top_p = share;
    std::set<TokenId> expected;
    double kept = 0.0;
    for (auto token = order.begin(); kept < share * total; ++token) {
      kept += std::exp(static_cast<double>(logits[static_cast<std::size_t>(*token)]));
      expected.insert(*token);
    }
    std::set<TokenId> seen;
    for (const auto& [token, times] : counts(options, logits, 12000)) seen.insert(token);
    EXPECT_EQ(seen, expected) << share;
  }
}

// Each of the small ones is lost beside a large one, all of them together are not: what top-p keeps
// depends on the order of its sum, which is that behind top-k however many candidates came.
TEST(Sampler, TopPBehindTopKSumsInOneOrder) {
  std::vector<float> logits(18, -36.8f);
  logits[16] = logits[17] = 0.0f;
  std::vector<backend::TokenLogit> largest;
  largest.reserve(logits.size());
  for (const float logit : logits) largest.push_back({static_cast<TokenId>(largest.size()), logit});
  logits.resize(40, -100.0f);
  SamplingOptions options = plain(1.0f);
  options.top_k = 18;
  options.top_p = 0.5f;
  auto sampler = *Sampler::create(options);
  for (std::uint32_t position = 0; position < 50; ++position) {
    EXPECT_EQ(*sampler.sample(logits, position, {}), 16);
    EXPECT_EQ(*sampler.sample(largest, position, {}), 16);
  }
}

TEST(Sampler, TopPIsReachedByItsEqual) {
  SamplingOptions options = plain(5.0f);
  options.top_p = 0.5f;
  EXPECT_EQ(counts(options, {0.0f, 0.0f}, 200).size(), 1u);
}

TEST(Sampler, MinPIsRelativeToTheLargest) {
  const float ln2 = std::log(2.0f);
  SamplingOptions options = plain(5.0f);
  options.min_p = 0.3f;  // keeps 1/2 of the largest, drops 1/4 of it
  const auto seen = counts(options, {2 * ln2, ln2, 0.0f}, 2000);
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_FALSE(seen.contains(2));
  options.min_p = 1.0f;  // the largest and its equals
  const auto largest = counts(options, {0.0f, 1.0f, 1.0f}, 200);
  EXPECT_EQ(largest.size(), 2u);
  EXPECT_FALSE(largest.contains(0));
}

TEST(Sampler, RepetitionPenaltyMovesBothSignsDown) {
  SamplingOptions options = plain(0.0f);
  options.repeat_penalty = 2.0f;
  EXPECT_EQ(sample(options, {3.0f, 2.0f}, 1, {0}), 1);
  EXPECT_EQ(sample(options, {-1.0f, -1.5f}, 1, {0}), 1);
  EXPECT_EQ(sample(options, {5.0f, 2.0f}, 1, {0}), 0);
}

TEST(Sampler, RepetitionPenaltyLooksBackSoFar) {
  SamplingOptions options = plain(0.0f);
  options.repeat_penalty = 2.0f;
  options.repeat_last_n = 2;
  EXPECT_EQ(sample(options, {3.0f, 2.0f, 0.0f}, 3, {0, 2, 2}), 0);
  EXPECT_EQ(sample(options, {3.0f, 2.0f, 0.0f}, 3, {2, 0, 2}), 1);
}

TEST(Sampler, MaskedTokensAreNeverChosen) {
  const float minus = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(sample(plain(0.0f), {minus, -100.0f}), 1);
  EXPECT_EQ(counts(plain(50.0f), {minus, -100.0f, minus}, 500).size(), 1u);
}

TEST(Sampler, RefusesWhatIsNoDistribution) {
  auto sampler = *Sampler::create(plain(1.0f));
  const std::vector<float> nan{0.0f, std::nanf("")};
  EXPECT_EQ(sampler.sample(nan, 3, {}).error().code, ErrorCode::kNumeric);
  const std::vector<float> large{0.0f, std::numeric_limits<float>::infinity()};
  EXPECT_EQ(sampler.sample(large, 3, {}).error().code, ErrorCode::kNumeric);
  const std::vector<float> none(2, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(sampler.sample(none, 3, {}).error().code, ErrorCode::kNumeric);
}

TEST(Sampler, SaysHowManyLogitsDecide) {
  const auto count = [](float temperature, std::uint32_t top_k) {
    const auto found = (*Sampler::create({.temperature = temperature, .top_k = top_k})).decisive(3);
    EXPECT_FALSE(found && found->draw);
    return found ? found->count : 0;
  };
  EXPECT_EQ(count(0.0f, 0), 1u);
  EXPECT_EQ(count(0.0f, 40), 1u);
  EXPECT_EQ(count(1.0f, 1), 1u);
  EXPECT_EQ(count(1.0f, 256), 256u);
  EXPECT_EQ(count(1.0f, 257), 0u);
  EXPECT_EQ(count(1.0f, 0), 0u);  // top-p and min-p look at all
}

TEST(Sampler, SaysThatADrawFromAllTokensDecides) {
  const auto decisive = [](const SamplingOptions& options) {
    return (*Sampler::create(options)).decisive(3);
  };
  SamplingOptions options = plain(0.5f);
  options.seed = 8;
  const auto found = decisive(options);
  ASSERT_TRUE(found && found->draw);
  EXPECT_EQ(found->count, 1u);
  EXPECT_EQ(found->draw->seed, 8u);
  EXPECT_EQ(found->draw->position, 3u);
  EXPECT_EQ(found->draw->temperature, 0.5f);
  EXPECT_TRUE(decisive(plain(0.01f)));
  EXPECT_FALSE(decisive(plain(0.0099f)));
  options.top_k = 257;
  EXPECT_FALSE(decisive(options));
  options.top_k = 0;
  options.top_p = 0.99f;
  EXPECT_FALSE(decisive(options));
  options.top_p = 1.0f;
  options.min_p = 0.01f;
  EXPECT_FALSE(decisive(options));
}

TEST(Sampler, SaysWhichLogitsItChanges) {
  SamplingOptions options{.repeat_penalty = 1.1f, .repeat_last_n = 3};
  EXPECT_EQ((*Sampler::create(options)).changed(std::vector<TokenId>{9, 5, 2, 5}),
            (std::vector<TokenId>{2, 5}));
  options.repeat_penalty = 1.0f;
  EXPECT_TRUE((*Sampler::create(options)).changed(std::vector<TokenId>{9, 5}).empty());
  options.presence_penalty = 0.5f;
  options.bias = {{8, 1.0f}, {3, -1.0f}};
  const std::vector<TokenId> history{9, 5, 2, 5, 2};
  EXPECT_EQ((*Sampler::create(options, 2)).changed(history), (std::vector<TokenId>{2, 3, 5, 8}));
  EXPECT_EQ((*Sampler::create(options, 9)).changed(history), (std::vector<TokenId>{3, 8}));
}

// Presence counts a token of the answer once, frequency each time; the prompt counts for neither.
TEST(Sampler, PresenceAndFrequencyPenaltiesLookAtTheAnswer) {
  const std::vector<float> logits{1.0f, 1.9f, 3.0f, 3.4f};
  const std::vector<TokenId> history{3, 2, 2, 1};
  const auto best = [&](float presence, float frequency, std::size_t answer) {
    SamplingOptions options = plain(0.0f);
    options.presence_penalty = presence;
    options.frequency_penalty = frequency;
    return *(*Sampler::create(options, answer)).sample(logits, 4, history);
  };
  EXPECT_EQ(best(0.0f, 0.0f, 0), 3);
  EXPECT_EQ(best(1.0f, 0.0f, 0), 3);   // 1, 0.9, 2, 2.4
  EXPECT_EQ(best(2.5f, 0.0f, 0), 0);   // 1, -0.6, 0.5, 0.9
  EXPECT_EQ(best(0.0f, 1.0f, 0), 3);   // 1, 0.9, 1, 2.4
  EXPECT_EQ(best(0.0f, 2.5f, 0), 0);   // 1, -0.6, -2, 0.9
  EXPECT_EQ(best(0.0f, 9.0f, 1), 3);   // the 3 is of the prompt
  EXPECT_EQ(best(-0.6f, 0.0f, 1), 2);  // 1, 2.5, 3.6, 3.4
  EXPECT_EQ(best(0.0f, -0.8f, 1), 2);  // 1, 2.7, 4.6, 3.4
  EXPECT_EQ(best(0.0f, -0.4f, 1), 2);  // 1, 2.3, 3.8, 3.4
  EXPECT_EQ(best(-0.4f, 0.0f, 1), 2);  // 1, 2.3, 3.4 of the lower id, 3.4
}

TEST(Sampler, BiasIsAddedAndMinusInfinityMasks) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits{1.0f, 2.0f, 3.0f, 3.5f};
  SamplingOptions options = plain(0.0f);
  options.bias = {{3, -kInfinity}};
  EXPECT_EQ(sample(options, logits), 2);
  options.bias = {{3, -kInfinity}, {1, 1.5f}};
  EXPECT_EQ(sample(options, logits), 1);
  options.bias = {{0, -kInfinity}, {1, -kInfinity}, {2, -kInfinity}, {3, -kInfinity}};
  EXPECT_EQ((*Sampler::create(options)).sample(logits, 0, {}).error().code, ErrorCode::kNumeric);
}

TEST(Sampler, HoldsTokensOffUntilTheAnswerHasEnough) {
  const std::vector<float> logits{1.0f, 2.0f, 3.0f, 3.5f};
  SamplingOptions options = plain(0.0f);
  options.held_off = {3, 2};
  options.min_tokens = 2;
  auto sampler = *Sampler::create(options, 1);
  std::vector<TokenId> history{0};
  for (const TokenId expected : {1, 1, 3}) {
    const auto changed = sampler.changed(history);
    EXPECT_EQ(changed, expected == 3 ? std::vector<TokenId>{} : (std::vector<TokenId>{2, 3}));
    const auto position = static_cast<std::uint32_t>(history.size());
    EXPECT_EQ(*sampler.sample(logits, position, history), expected) << position;
    history.push_back(expected);
  }
  options.held_off = {0, 1, 2, 3};
  EXPECT_EQ((*Sampler::create(options)).sample(logits, 0, {}).error().code, ErrorCode::kNumeric);
}

// The changed logits and the decisive ones of the others, ascending by token.
std::vector<backend::TokenLogit> decisive_of(const Sampler& sampler,
                                             const std::vector<float>& logits,
                                             std::uint32_t position,
                                             const std::vector<TokenId>& history) {
  const Decisive decisive = *sampler.decisive(position);
  const auto changed = sampler.changed(history);
  std::vector<std::pair<double, TokenId>> others;  // the larger first, then the lower token
  std::vector<backend::TokenLogit> some;
  for (TokenId token = 0; token < static_cast<TokenId>(logits.size()); ++token) {
    const float logit = logits[static_cast<std::size_t>(token)];
    if (std::binary_search(changed.begin(), changed.end(), token)) {
      some.push_back({token, logit});
    } else {
      others.emplace_back(decisive.draw ? -decisive.draw->perturbed(logit, token) : -logit, token);
    }
  }
  std::sort(others.begin(), others.end());
  for (std::size_t i = 0; i < decisive.count; ++i) {
    some.push_back({others[i].second, logits[static_cast<std::size_t>(others[i].second)]});
  }
  std::sort(some.begin(), some.end(), [](auto a, auto b) { return a.token < b.token; });
  return some;
}

// From the largest and the changed logits alone comes the token that all logits give.
TEST(Sampler, TheDecisiveLogitsGiveTheTokenOfAll) {
  std::vector<float> logits(500);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = 6.0f * std::sin(static_cast<float>(i * i)) + static_cast<float>(i % 3);
  }
  logits[80] = logits[20];  // equals
  const std::vector<TokenId> history{20, 7, 300, 301, 302, 20, 499};
  SamplingOptions of_all = plain(1.5f);
  of_all.repeat_penalty = 1.3f;
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 0.0f, .repeat_penalty = 1.5f}, SamplingOptions{.top_k = 1},
        SamplingOptions{.temperature = 2.0f, .top_k = 40, .repeat_penalty = 1.3f},
        SamplingOptions{.temperature = 5.0f, .top_k = 100, .top_p = 1.0f, .min_p = 0.0f},
        SamplingOptions{.top_k = 256, .top_p = 0.5f, .repeat_penalty = 0.7f},
        SamplingOptions{.temperature = 0.0f, .presence_penalty = 2.0f, .frequency_penalty = 1.0f},
        SamplingOptions{.temperature = 2.0f, .top_k = 30, .bias = {{4, 9.0f}, {20, -50.0f}}},
        plain(1.0f), of_all}) {
    auto sampler = *Sampler::create(options);
    for (std::uint32_t position = 0; position < 300; ++position) {
      const auto some = decisive_of(sampler, logits, position, history);
      ASSERT_LT(some.size(), logits.size());
      ASSERT_EQ(*sampler.sample(some, position, history),
                *sampler.sample(logits, position, history));
    }
  }
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  const auto refused = [](const SamplingOptions& options) {
    const auto sampler = Sampler::create(options);
    return !sampler.ok() && sampler.error().code == ErrorCode::kUsage;
  };
  EXPECT_TRUE(refused({.temperature = -0.1f}));
  EXPECT_TRUE(refused({.temperature = std::nanf("")}));
  EXPECT_TRUE(refused({.presence_penalty = std::nanf("")}));
  EXPECT_TRUE(refused({.presence_penalty = -101.0f}));
  EXPECT_TRUE(refused({.frequency_penalty = 101.0f}));
  EXPECT_TRUE(refused({.bias = {{1, std::nanf("")}}}));
  EXPECT_TRUE(refused({.bias = {{1, 1001.0f}}}));
  EXPECT_TRUE(refused({.bias = {{1, 1.0f}, {2, 1.0f}, {1, 2.0f}}}));
  EXPECT_TRUE(refused({.top_p = 0.0f}));
  EXPECT_TRUE(refused({.top_p = 1.1f}));
  EXPECT_TRUE(refused({.min_p = -0.1f}));
  EXPECT_TRUE(refused({.min_p = 1.1f}));
  EXPECT_TRUE(refused({.repeat_penalty = 0.009f}));
  EXPECT_FALSE(refused({.repeat_penalty = 0.01f}));
  EXPECT_TRUE(refused({.temperature = 100.1f}));
  EXPECT_TRUE(refused({.repeat_penalty = 100.1f}));
  EXPECT_FALSE(refused({.temperature = 100.0f, .min_p = 1.0f, .repeat_penalty = 100.0f}));
  EXPECT_FALSE(refused({.presence_penalty = 100.0f, .frequency_penalty = -100.0f}));
  EXPECT_FALSE(refused({.bias = {{1, 1000.0f}}}));
  EXPECT_FALSE(refused({}));
}

}  // namespace
}  // namespace tern::engine
