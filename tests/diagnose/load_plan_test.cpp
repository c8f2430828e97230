// The load of a seed: the same one each time, with the distributions that were asked for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "diagnose/load/plan.h"

namespace tern::diagnose {
namespace {

using ::testing::HasSubstr;

Lengths must(std::string_view text) {
  const auto parsed = parse_lengths(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return *parsed;
}

TEST(Lengths, AreReadAndWritten) {
  for (const char* text :
       {"1", "512", "uniform:1-1", "uniform:100-900", "lognormal:400,0.8,4000"}) {
    EXPECT_EQ(must(text).to_string(), text);
  }
  EXPECT_EQ(must("lognormal:1e2,0,100").to_string(), "lognormal:100,0,100");
}

TEST(Lengths, OthersAreRefused) {
  for (const char* text : {"",
                           "0",
                           "-1",
                           "1.5",
                           "16777217",
                           "5 ",
                           "uniform",
                           "uniform:",
                           "uniform:5",
                           "uniform:5-4",
                           "uniform:0-4",
                           "uniform:1-2-3",
                           "lognormal:",
                           "lognormal:400",
                           "lognormal:400,0.8",
                           "lognormal:400,0.8,0",
                           "lognormal:0.5,1,100",
                           "lognormal:nan,1,100",
                           "lognormal:400,nan,500",
                           "lognormal:400,-1,500",
                           "lognormal:400,11,500",
                           "lognormal:501,1,500",
                           "normal:3,4"}) {
    const auto parsed = parse_lengths(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kUsage);
    EXPECT_THAT(parsed.error().message, HasSubstr("found \"" + std::string(text) + "\""));
  }
}

TEST(Lengths, FixedAndUniformOnesKeepTheirBounds) {
  const double ends[] = {1e-16, 0.5, 1.0 - 0x1p-53};
  EXPECT_EQ(draw(must("7"), ends[0], ends[2]), 7u);
  EXPECT_EQ(draw(must("uniform:3-6"), ends[0], 0.5), 3u);
  EXPECT_EQ(draw(must("uniform:3-6"), ends[1], 0.5), 5u);
  EXPECT_EQ(draw(must("uniform:3-6"), ends[2], 0.5), 6u);
}

TEST(Lengths, LogNormalOnesHaveTheirMedianAndSpread) {
  const Lengths lengths = must("lognormal:1000,0.5,100000");
  PlanOptions options;
  options.output = lengths;
  const LoadPlan plan(options);
  std::vector<double> logs;
  for (std::uint64_t i = 0; i < 20000; ++i)
    logs.push_back(std::log(plan.output_length(i) / 1000.0));
  const double mean = std::accumulate(logs.begin(), logs.end(), 0.0) / 20000;
  double variance = 0.0;
  for (const double x : logs) variance += (x - mean) * (x - mean) / 20000;
  EXPECT_NEAR(mean, 0.0, 4 * 0.5 / std::sqrt(20000.0));  // four standard errors
  EXPECT_NEAR(std::sqrt(variance), 0.5, 4 * 0.5 / std::sqrt(2 * 20000.0));
  // A normal variate is 2 or more with probability 0.02275.
  const auto beyond = std::count_if(logs.begin(), logs.end(), [](double x) { return x >= 1.0; });
  EXPECT_NEAR(static_cast<double>(beyond), 455.0, 4 * std::sqrt(455.0));
  EXPECT_EQ(draw(must("lognormal:1000,5,1200"), 1e-12, 1e-12), 1200u);
  EXPECT_EQ(draw(must("lognormal:1000,5,1200"), 1e-12, 0.5), 1u);
  EXPECT_EQ(draw(must("lognormal:1000,0,1200"), 0.3, 0.8), 1000u);
}

TEST(LoadPlan, IsAFunctionOfTheSeedAndTheNumber) {
  PlanOptions options;
  options.prompt = must("uniform:1-50");
  options.output = must("uniform:1-1000");
  options.shared = 4;
  options.prefixes = 3;
  const LoadPlan plan(options);
  const LoadPlan again(options);
  options.seed = 2;
  const LoadPlan other(options);
  std::size_t same = 0;
  for (std::uint64_t i : {0u, 1u, 2u, 3u, 77u}) {
    EXPECT_EQ(plan.gap(i, 2.0), again.gap(i, 2.0));
    EXPECT_EQ(plan.prompt(i, 96), again.prompt(i, 96));
    EXPECT_EQ(plan.output_length(i), again.output_length(i));
    EXPECT_EQ(plan.seed(i), again.seed(i));
    EXPECT_NE(plan.gap(i, 2.0), other.gap(i, 2.0));
    EXPECT_NE(plan.prompt(i, 96), other.prompt(i, 96));
    EXPECT_NE(plan.seed(i), other.seed(i));
    EXPECT_LT(plan.seed(i), std::uint64_t{1} << 53);
    same += plan.output_length(i) == other.output_length(i) ? 1 : 0;
  }
  EXPECT_LT(same, 2u);
}

// Exponential gaps; so the arrivals of each second are Poisson's: their variance is their mean.
TEST(LoadPlan, ArrivalsArePoissons) {
  constexpr double kRate = 5.0;
  constexpr int kCount = 20000;
  const LoadPlan plan(PlanOptions{});
  double at = 0.0;
  std::size_t long_gaps = 0;
  std::vector<double> a_second(5000, 0.0);
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const double gap = plan.gap(i, kRate);
    ASSERT_GT(gap, 0.0);
    long_gaps += gap > 1.0 / kRate ? 1 : 0;  // with probability 1/e
    at += gap;
    if (at < 3500.0) a_second[static_cast<std::size_t>(at)] += 1.0;
  }
  EXPECT_NEAR(at, kCount / kRate, 4 * std::sqrt(static_cast<double>(kCount)) / kRate);
  EXPECT_NEAR(static_cast<double>(long_gaps), kCount * std::exp(-1.0), 4 * 68.2);
  double mean = 0.0;
  double variance = 0.0;
  for (int s = 0; s < 3500; ++s) mean += a_second[static_cast<std::size_t>(s)] / 3500;
  for (int s = 0; s < 3500; ++s) {
    const double off = a_second[static_cast<std::size_t>(s)] - mean;
    variance += off * off / 3500;
  }
  EXPECT_NEAR(variance / mean, 1.0, 4 * std::sqrt(2.0 / 3500));
}

TEST(LoadPlan, PromptsBeginWithOneOfThePrefixes) {
  PlanOptions options;
  options.prompt = must("10");
  options.shared = 6;
  options.prefixes = 3;
  const LoadPlan plan(options);
  std::vector<std::vector<std::uint32_t>> beginnings;
  std::vector<std::vector<std::uint32_t>> ends;
  for (std::uint64_t i = 0; i < 60; ++i) {
    const auto prompt = plan.prompt(i, 50);
    ASSERT_EQ(prompt.size(), 16u);
    EXPECT_LT(*std::max_element(prompt.begin(), prompt.end()), 50u);
    beginnings.emplace_back(prompt.begin(), prompt.begin() + 6);
    ends.emplace_back(prompt.begin() + 6, prompt.end());
  }
  const auto distinct = [](auto all) {
    std::sort(all.begin(), all.end());
    return std::unique(all.begin(), all.end()) - all.begin();
  };
  EXPECT_EQ(distinct(beginnings), 3);
  EXPECT_EQ(distinct(ends), 60);
  options.shared = 0;
  EXPECT_EQ(LoadPlan(options).prompt(0, 50), ends[0]);
}

}  // namespace
}  // namespace tern::diagnose
