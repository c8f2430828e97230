#include "diagnose/measure/steal.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/temporary_directory.h"

namespace tern::diagnose {
namespace {

TEST(Steal, CountsTheFirstEightFields) {
  const auto time = parse_cpu_time("cpu  10 20 30 400 5 6 7 80 1000 2000\ncpu0 1 1 1 1 1 1 1 1\n");
  ASSERT_TRUE(time.has_value());
  EXPECT_EQ(time->total, 558u);
  EXPECT_EQ(time->stolen, 80u);
}

TEST(Steal, RefusesWhatLacksTheField) {
  EXPECT_FALSE(parse_cpu_time("cpu  10 20 30 400 5 6 7").has_value());
  EXPECT_FALSE(parse_cpu_time("cpu  10 20 30 400 5 6 7\n8 9 10").has_value());
  EXPECT_FALSE(parse_cpu_time("cpu  10 20 x 400 5 6 7 8").has_value());
  EXPECT_FALSE(parse_cpu_time("cpu0 10 20 30 400 5 6 7 8").has_value());
  EXPECT_FALSE(parse_cpu_time("").has_value());
}

TEST(Steal, IsReadFromProcStat) {
  const test::TemporaryDirectory root;
  EXPECT_FALSE(read_cpu_time(root.path()).has_value());
  std::filesystem::create_directory(root / "proc");
  std::ofstream(root / "proc/stat") << "cpu  1 2 3 4 5 6 7 8 9 10\nintr 5\n";
  const auto time = read_cpu_time(root.path());
  ASSERT_TRUE(time.has_value());
  EXPECT_EQ(time->stolen, 8u);
}

TEST(Steal, ShareIsOfTheTimeBetween) {
  EXPECT_DOUBLE_EQ(stolen_share({1000, 50}, {1200, 60}), 0.05);
  EXPECT_EQ(stolen_share({1000, 50}, {1000, 50}), 0.0);
  EXPECT_EQ(stolen_share({1000, 50}, {1100, 50}), 0.0);
}

}  // namespace
}  // namespace tern::diagnose
