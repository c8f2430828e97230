#include "diagnose/measure/mac_ceiling.h"

#include <gtest/gtest.h>

#include <thread>

namespace tern::diagnose {
namespace {

using std::chrono::milliseconds;

// 16 multiply-accumulates a step, at most 1e8 steps a second.
std::uint64_t slow_loop(std::uint64_t steps) {
  std::this_thread::sleep_for(std::chrono::nanoseconds(10 * steps));
  return 16 * steps;
}

TEST(MacCeiling, IsWhatTheLoopDidOverTheTime) {
  const auto rate = measure_mac_ceiling(slow_loop, 1, milliseconds(20));
  ASSERT_TRUE(rate.ok());
  EXPECT_LE(*rate, 1.6e9);
  EXPECT_GT(*rate, 1.6e8);  // a sleep never lasts ten times as long in the best of the passes
}

TEST(MacCeiling, ThreadsAddUp) {
  const auto one = measure_mac_ceiling(slow_loop, 1, milliseconds(50));
  // Sleeping needs no core; the best of many passes is one that a busy machine left alone.
  const auto four = measure_mac_ceiling(slow_loop, 4, milliseconds(1000));
  ASSERT_TRUE(one.ok() && four.ok());
  EXPECT_GT(*four, 1.5 * *one);
  EXPECT_LE(*four, 6.4e9);
}

TEST(MacCeiling, ALoopThatDoesNothingIsAnError) {
  const auto rate =
      measure_mac_ceiling([](std::uint64_t) -> std::uint64_t { return 0; }, 1, milliseconds(1));
  ASSERT_FALSE(rate.ok());
  EXPECT_EQ(rate.error().code, ErrorCode::kNumeric);
}

}  // namespace
}  // namespace tern::diagnose
