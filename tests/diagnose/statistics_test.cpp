#include "diagnose/measure/statistics.h"

#include <gtest/gtest.h>

#include <vector>

namespace tern::diagnose {
namespace {

TEST(Quartiles, OfSevenValuesInAnyOrder) {
  const Quartiles found = quartiles(std::vector<double>{7, 1, 6, 2, 5, 3, 40});
  EXPECT_EQ(found.lower, 2.5);
  EXPECT_EQ(found.median, 5.0);
  EXPECT_EQ(found.upper, 6.5);
  EXPECT_EQ(found.count, 7u);
}

TEST(Quartiles, MedianOfAnEvenCountLiesBetween) {
  const Quartiles found = quartiles(std::vector<double>{4, 1, 3, 2});
  EXPECT_EQ(found.lower, 1.75);
  EXPECT_EQ(found.median, 2.5);
  EXPECT_EQ(found.upper, 3.25);
}

TEST(Quartiles, OfOneValueAndOfNone) {
  const Quartiles one = quartiles(std::vector<double>{3});
  EXPECT_EQ(one.lower, 3.0);
  EXPECT_EQ(one.median, 3.0);
  EXPECT_EQ(one.upper, 3.0);
  EXPECT_EQ(quartiles({}).count, 0u);
}

}  // namespace
}  // namespace tern::diagnose
