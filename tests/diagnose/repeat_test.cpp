#include "diagnose/measure/repeat.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace tern::diagnose {
namespace {

TEST(Disturbance, IsMoreThanOnePercentAndMoreThanOneJiffy) {
  EXPECT_EQ(disturbance({0, 0}, {1000, 10}), 0.0);  // 1%
  EXPECT_EQ(disturbance({0, 0}, {1000, 11}), 0.011);
  EXPECT_EQ(disturbance({0, 0}, {10, 1}), 0.0);  // 10%, but a jiffy says nothing
  EXPECT_EQ(disturbance({0, 0}, {10, 2}), 0.2);
  EXPECT_EQ(disturbance({5000, 70}, {5100, 72}), 0.02);
}

// A clock of two readings a repetition: `stolen[i]` jiffies of 100 are stolen in repetition i.
Repetitions with_stolen(std::uint32_t count, std::vector<std::uint64_t> stolen) {
  Repetitions repetitions;
  repetitions.count = count;
  repetitions.clock = [stolen = std::move(stolen), reading = std::size_t{0},
                       now = CpuTime{}]() mutable -> std::optional<CpuTime> {
    if (reading++ % 2 == 1) {
      now.total += 100;
      now.stolen += stolen[(reading / 2 - 1) % stolen.size()];
    }
    return now;
  };
  return repetitions;
}

Repetition counting() {
  return [value = 0.0]() mutable -> Result<std::optional<double>> {
    value += 1.0;
    return std::optional(value);
  };
}

TEST(Repeat, DisturbedRepetitionsAreMadeAgainAndCounted) {
  // Values 1 to 5, of which 2 and 4 are disturbed.
  const auto found = repeat("x", with_stolen(3, {0, 9, 1, 2, 0}), counting());
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->discarded, 2u);
  EXPECT_EQ((*found)->value.count, 3u);
  EXPECT_EQ((*found)->value.lower, 2.0);
  EXPECT_EQ((*found)->value.median, 3.0);
  EXPECT_EQ((*found)->value.upper, 4.0);
  EXPECT_EQ((*found)->kept, (std::vector<std::size_t>{0, 2, 4}));
  EXPECT_EQ((*found)->disturbance, 0.0);
}

TEST(Repeat, WhereTooFewAreUndisturbedTheLeastDisturbedCount) {
  // Of twelve: one at 0%, three at 4% (the earliest is the second), all else beyond what counts.
  const auto found =
      repeat("x", with_stolen(4, {9, 4, 50, 4, 6, 0, 9, 50, 9, 4, 7, 8}), counting());
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->kept, (std::vector<std::size_t>{1, 3, 5, 9}));
  EXPECT_EQ((*found)->discarded, 8u);
  EXPECT_EQ((*found)->value.median, 5.0);  // of 2, 4, 6 and 10
  EXPECT_EQ((*found)->disturbance, 0.04);
}

TEST(Repeat, OfEquallyDisturbedOnesTheEarlierCount) {
  const auto found = repeat("x", with_stolen(2, {5, 5, 3}), counting());
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->kept, (std::vector<std::size_t>{2, 5}));
  EXPECT_EQ((*found)->disturbance, 0.03);
}

TEST(Repeat, OneThatLostMoreThanCanBeBorneIsAnError) {
  EXPECT_TRUE(repeat("x", with_stolen(1, {5}), counting()).ok());
  const auto found = repeat("x", with_stolen(2, {6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 5}), counting());
  ASSERT_FALSE(found.ok());
  EXPECT_NE(found.error().message.find("found 1 of 12"), std::string::npos);
}

TEST(Repeat, WhatCanBeBorneIsUpToTheMeasurement) {
  Repetitions half = with_stolen(2, {50});
  half.most_borne = 0.5;
  const auto found = repeat("x", half, counting());
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->disturbance, 0.5);
  Repetitions less = with_stolen(2, {50});
  less.most_borne = 0.49;
  const auto refused = repeat("x", less, counting());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("at most 49% of this machine's time, found 0 of 12"),
            std::string::npos);
}

// Of repetitions that are always disturbed.
Result<std::optional<Repeated>> never_quiet(std::uint32_t count, std::uint32_t& made) {
  return repeat("decode", with_stolen(count, {50}), [&]() -> Result<std::optional<double>> {
    ++made;
    return std::optional(1.0);
  });
}

TEST(Repeat, AMachineThatIsNeverQuietIsAnError) {
  std::uint32_t made = 0;
  const auto found = never_quiet(7, made);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kNumeric);
  EXPECT_EQ(made, 21u);
  EXPECT_EQ(found.error().to_string(),
            "decode: expected 7 repetitions of which the hypervisor takes at most 5% of this "
            "machine's time, found 0 of 21; measure when it is quiet");
}

TEST(Repeat, FewRepetitionsHaveMoreAttempts) {
  for (const auto& [count, attempts] :
       {std::pair{1u, 12u}, std::pair{4u, 12u}, std::pair{5u, 15u}}) {
    std::uint32_t made = 0;
    EXPECT_FALSE(never_quiet(count, made).ok());
    EXPECT_EQ(made, attempts) << count;
  }
}

TEST(Repeat, WithoutAClockNothingIsDiscarded) {
  Repetitions repetitions{.count = 2, .clock = [] { return std::optional<CpuTime>(); }};
  const auto found = repeat("x", repetitions, counting());
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->discarded, 0u);
  EXPECT_EQ((*found)->value.median, 1.5);
}

TEST(Repeat, EndsWithARepetitionThatWasStoppedOrFailed) {
  const auto stopped =
      repeat("x", {}, []() -> Result<std::optional<double>> { return std::optional<double>(); });
  ASSERT_TRUE(stopped.ok());
  EXPECT_FALSE(stopped->has_value());
  const auto failed = repeat("x", {}, []() -> Result<std::optional<double>> {
    return Error{ErrorCode::kIo, "gone", ""};
  });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace tern::diagnose
