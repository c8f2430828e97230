#include "diagnose/measure/read_ceiling.h"

#include <gtest/gtest.h>

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
  EXPECT_GT(found->bytes_per_second, 1e8);  // a sum that was skipped or a clock that stood still
  EXPECT_LT(found->bytes_per_second, 1e14);
  EXPECT_EQ(found->buffer_bytes, std::uint64_t{3} << 20);
  EXPECT_GE(found->streams, 1u);
  EXPECT_LE(found->streams, 8u);
}

INSTANTIATE_TEST_SUITE_P(Threads, ReadCeilingThreads, testing::Values(1, 2, 5));

TEST(ReadCeiling, BufferIsRoundedUp) {
  EXPECT_EQ(measure_read_ceiling(1, 1, milliseconds(0))->buffer_bytes, 64u << 10);
  EXPECT_EQ(measure_read_ceiling((1u << 20) + 1, 2, milliseconds(0))->buffer_bytes,
            (1u << 20) + 4096u);
}

TEST(ReadCeiling, MemoryThatTheMachineLacksIsAnError) {
  const auto found =
      measure_read_ceiling(std::numeric_limits<std::uint64_t>::max() / 2, 1, milliseconds(0));
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kOutOfMemory);
}

}  // namespace
}  // namespace tern::diagnose
