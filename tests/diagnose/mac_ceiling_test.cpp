#include "diagnose/measure/mac_ceiling.h"

#include <gtest/gtest.h>

namespace tern::diagnose {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Each thread has a clock of its own, which its work alone moves: they work side by side, and no
// machine can disturb them.
thread_local nanoseconds elapsed{0};
TimePoint now() { return TimePoint(elapsed); }

// 16 multiply-accumulates a step, in 10 nanoseconds.
std::uint64_t steady_loop(std::uint64_t steps) {
  elapsed += nanoseconds(10) * steps;
  return 16 * steps;
}

// Half as fast, but every third time.
std::uint64_t disturbed_loop(std::uint64_t steps) {
  thread_local int calls = 0;
  elapsed += nanoseconds(++calls % 3 == 0 ? 10 : 20) * steps;
  return 16 * steps;
}

class MacCeiling : public ::testing::Test {
 protected:
  MacCeiling() { elapsed = nanoseconds(0); }
};

TEST_F(MacCeiling, IsWhatTheLoopDidOverTheTime) {
  EXPECT_DOUBLE_EQ(*measure_mac_ceiling(steady_loop, 1, milliseconds(20), now), 1.6e9);
}

TEST_F(MacCeiling, ThreadsAddUp) {
  EXPECT_DOUBLE_EQ(*measure_mac_ceiling(steady_loop, 4, milliseconds(20), now), 6.4e9);
}

TEST_F(MacCeiling, IsThatOfTheBestPass) {
  EXPECT_DOUBLE_EQ(*measure_mac_ceiling(disturbed_loop, 1, milliseconds(100), now), 1.6e9);
}

// Passes grow to 5 milliseconds, and go on until the budget is spent.
TEST_F(MacCeiling, SpendsItsBudget) {
  ASSERT_TRUE(measure_mac_ceiling(steady_loop, 1, milliseconds(0), now).ok());
  const nanoseconds least = elapsed;
  EXPECT_GE(least, milliseconds(5));
  EXPECT_LE(least, milliseconds(20));
  elapsed = nanoseconds(0);
  ASSERT_TRUE(measure_mac_ceiling(steady_loop, 1, milliseconds(100), now).ok());
  EXPECT_GE(elapsed, milliseconds(100));
  EXPECT_LE(elapsed, milliseconds(111));
}

TEST_F(MacCeiling, ALoopThatDoesNothingIsAnError) {
  const auto rate =
      measure_mac_ceiling([](std::uint64_t) -> std::uint64_t { return 0; }, 1, milliseconds(1));
  ASSERT_FALSE(rate.ok());
  EXPECT_EQ(rate.error().code, ErrorCode::kNumeric);
}

}  // namespace
}  // namespace tern::diagnose
