#include "backend/cpu/read_probe.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tern::backend {
namespace {

class ReadProbe : public testing::TestWithParam<std::uint32_t> {};

TEST_P(ReadProbe, RateIsOfThisWorld) {
  const auto rate = probe_read_rate(std::uint64_t{3} << 20, GetParam());
  ASSERT_TRUE(rate.ok());
  EXPECT_TRUE(std::isfinite(rate->bytes_per_second));
  EXPECT_GT(rate->bytes_per_second, 1e8);  // a sum that was skipped or a clock that stood still
  EXPECT_LT(rate->bytes_per_second, 1e14);
  EXPECT_EQ(rate->buffer_bytes, std::uint64_t{3} << 20);
  EXPECT_GE(rate->streams, 1u);
}

INSTANTIATE_TEST_SUITE_P(Threads, ReadProbe, testing::Values(1, 2, 5));

TEST(ReadProbeSize, IsRoundedAndBounded) {
  EXPECT_EQ(probe_read_rate(1, 1)->buffer_bytes, 64u << 10);
  EXPECT_EQ(probe_read_rate((1u << 20) + 1, 2)->buffer_bytes, (1u << 20) + 4096u);
  EXPECT_EQ(probe_read_rate(~std::uint64_t{0}, 2)->buffer_bytes, kLargestReadProbe);
}

}  // namespace
}  // namespace tern::backend
