#include "diagnose/measure/read_ceiling.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>

namespace tern::diagnose {
namespace {

using std::chrono::milliseconds;

class ReadCeilingThreads : public testing::TestWithParam<std::uint32_t> {};

TEST_P(ReadCeilingThreads, RateIsOfThisWorld) {
  const auto found = measure_read_ceiling(std::uint64_t{3} << 20, GetParam(), milliseconds(20));
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(std::isfinite(found->bytes_per_second));
  EXPECT_GT(found->bytes_per_second, 0);
  EXPECT_LT(found->bytes_per_second, 1e14);  // else a sum was skipped
  EXPECT_EQ(found->buffer_bytes, std::uint64_t{3} << 20);
  EXPECT_GE(found->streams, 1u);
  EXPECT_LE(found->streams, 8u);
}

// A clock that goes on by a millisecond each time that it is asked: a loop lasts from the first
// thread's first question to the last one's second.
std::atomic<int> questions = 0;
TimePoint now() { return TimePoint(milliseconds(++questions)); }

TEST_P(ReadCeilingThreads, IsTheBufferOverTheTime) {
  const auto found =
      measure_read_ceiling(std::uint64_t{32} << 20, GetParam(), milliseconds(0), now);
  ASSERT_TRUE(found.ok());
  const double seconds = 1e-3 * (2 * GetParam() - 1);  // of the two times that 64 MiB take
  EXPECT_DOUBLE_EQ(found->bytes_per_second, (64 << 20) / seconds);
}

// Passes until the budget is spent, of which each lasts as long: their mean is that of one.
TEST_P(ReadCeilingThreads, TheRateIsTheMeanOfPasses) {
  const ReadCeiling way{.bytes_per_second = 1.0, .streams = 2, .prefetch = true};
  const int before = questions;
  const auto found =
      measure_read_rate(way, std::uint64_t{32} << 20, GetParam(), milliseconds(30), now);
  ASSERT_TRUE(found.ok());
  EXPECT_DOUBLE_EQ(*found, (64 << 20) / (1e-3 * (2 * GetParam() - 1)));
  EXPECT_GE(questions - before, 30);
  EXPECT_LT(questions - before, 30 + 4 * static_cast<int>(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Threads, ReadCeilingThreads, testing::Values(1, 2, 5));

TEST(ReadCeiling, BufferIsRoundedUp) {
  EXPECT_EQ(measure_read_ceiling(1, 1, milliseconds(0))->buffer_bytes, 64u << 10);
  EXPECT_EQ(measure_read_ceiling((1u << 20) + 1, 2, milliseconds(0))->buffer_bytes,
            (1u << 20) + 4096u);
}

TEST(ReadCeiling, ARateNeedsAWayOfReading) {
  const auto found = measure_read_rate({}, 1u << 20, 1, milliseconds(0));
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kUsage);
}

TEST(ReadCeiling, MemoryThatTheMachineLacksIsAnError) {
  const auto found =
      measure_read_ceiling(std::numeric_limits<std::uint64_t>::max() / 2, 1, milliseconds(0));
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kOutOfMemory);
}

}  // namespace
}  // namespace tern::diagnose
