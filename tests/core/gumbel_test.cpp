// The variates: their distribution, their bits, and the bounds that stand in for them.
#include "core/gumbel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/philox.h"

namespace tern {
namespace {

std::vector<float> bounds_of(const GumbelDraw& draw, std::int32_t first, std::size_t count) {
  std::vector<float> bounds(count);
  draw.bound(first, bounds);
  return bounds;
}

TEST(Gumbel, HasTheRightMeanAndVariance) {
  double sum = 0.0;
  double squares = 0.0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const std::uint64_t bits = gumbel_bits(7, static_cast<std::uint32_t>(i), i % 50);
    const double g = gumbel(bits);
    sum += g;
    squares += g * g;
  }
  const double mean = sum / kDraws;
  EXPECT_NEAR(mean, 0.57721566, 0.02);                          // Euler's constant
  EXPECT_NEAR(squares / kDraws - mean * mean, 1.644934, 0.05);  // pi^2 / 6
}

// -log(-log((bits + 0.5) / 2^52)) of the first known answer, computed with fifty digits. Half a bit
// less gives a number 43 steps away.
TEST(Gumbel, IsThatOfTheMiddleOfItsBits) {
  EXPECT_DOUBLE_EQ(gumbel(gumbel_bits(0, 0, 0)), 0x1.5b6c7ad999346p-4);
}

TEST(Gumbel, DependsOnSeedPositionAndToken) {
  const double g = gumbel(gumbel_bits(1, 2, 3));
  EXPECT_EQ(g, gumbel(gumbel_bits(1, 2, 3)));
  EXPECT_NE(g, gumbel(gumbel_bits(2, 2, 3)));
  EXPECT_NE(g, gumbel(gumbel_bits(1ull << 32 | 1, 2, 3)));
  EXPECT_NE(g, gumbel(gumbel_bits(1, 3, 3)));
  EXPECT_NE(g, gumbel(gumbel_bits(1, 2, 4)));
}

// The largest variate of each bound: at the ends, and where a chord of the logarithm begins and
// ends.
TEST(Gumbel, BoundsHoldWhereTheyAreTight) {
  const auto expect_bound = [](std::uint32_t n) {
    const std::uint32_t leading = ~(n << 8);
    const double largest = gumbel(std::uint64_t{leading} << 20 | 0xfffff);
    EXPECT_LE(largest, gumbel_bound(leading)) << n;
    if (n >= 1u << 10 && n < 1u << 20) {
      EXPECT_LE(gumbel_bound(leading), largest + 0.08) << n;
    }
  };
  constexpr std::uint32_t kAll = (1u << 24) - 1;
  for (std::uint32_t n = 0; n < 2000; ++n) {
    expect_bound(n);
    expect_bound(kAll - n);
  }
  for (std::uint32_t bit = 2; bit < 24; ++bit) {
    for (const std::uint32_t n : {(1u << bit) - 1, 1u << bit, (1u << bit) + 1}) expect_bound(n);
  }
}

// Of so many that some of one in a million are among them, whose bounds are of few bits.
TEST(GumbelDraw, BoundsHoldAndAreWorthAsking) {
  constexpr std::size_t kTokens = 4'000'000;
  const GumbelDraw draw{.seed = 1ull << 40 | 11, .position = 5};
  const auto bounds = bounds_of(draw, 100, kTokens);
  double largest = 0.0;
  for (std::size_t i = 0; i < kTokens; ++i) {
    const double g = draw.variate(static_cast<std::int32_t>(100 + i));
    ASSERT_LE(g, bounds[i]) << i;
    if (g > 4.0 && g < 11.0) {  // of so many bits
      ASSERT_LE(bounds[i], g + 0.08) << i;
    }
    largest = std::max(largest, g);
  }
  EXPECT_GT(largest, 13.0);
}

// Whatever vectors they are computed in, and wherever a call begins.
TEST(GumbelDraw, ABoundIsThatOfItsToken) {
  const GumbelDraw draw{.seed = 1ull << 40 | 3, .position = 9, .temperature = 0.5f};
  const auto bounds = bounds_of(draw, 0, 100);
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    EXPECT_EQ(bounds_of(draw, static_cast<std::int32_t>(i), 1)[0], bounds[i]) << i;
    EXPECT_EQ(bounds_of(draw, static_cast<std::int32_t>(i), 100 - i).back(), bounds.back()) << i;
  }
  EXPECT_NE(bounds_of({.seed = 3, .position = 9}, 0, 100), bounds);
  EXPECT_NE(bounds_of({.seed = draw.seed, .position = 8}, 0, 100), bounds);
  EXPECT_EQ(bounds_of({.seed = draw.seed, .position = 9}, 0, 100), bounds);
}

TEST(GumbelDraw, PerturbsInOrder) {
  const GumbelDraw draw{.seed = 2, .position = 4, .temperature = 0.7f};
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  double before = -kInfinity;
  for (float logit = -3.0f; logit < 3.0f; logit = std::nextafter(logit + 0.01f, kInfinity)) {
    const double now = draw.perturbed(logit, 77);
    EXPECT_GE(now, before);
    EXPECT_EQ(now, static_cast<double>(logit) / 0.7f + gumbel(gumbel_bits(2, 4, 77)));
    before = now;
  }
  EXPECT_EQ(draw.perturbed(-kInfinity, 77), -kInfinity);
}

}  // namespace
}  // namespace tern
