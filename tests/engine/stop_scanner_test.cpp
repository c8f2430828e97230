#include "engine/stop_scanner.h"

#include <gtest/gtest.h>

namespace tern::engine {
namespace {

std::string run(StopScanner& scanner, const std::vector<std::string>& pieces) {
  std::string shown;
  for (const auto& piece : pieces) shown += scanner.push(piece);
  return shown + scanner.finish();
}

TEST(StopScanner, PassesTextWithoutStops) {
  StopScanner scanner({});
  EXPECT_EQ(scanner.push("abc"), "abc");
  EXPECT_FALSE(scanner.stopped());
}

TEST(StopScanner, CutsAtAStopSpreadOverPieces) {
  StopScanner scanner({"END"});
  EXPECT_EQ(scanner.push("one E"), "one ");
  EXPECT_EQ(scanner.push("N"), "");
  EXPECT_EQ(scanner.push("D two"), "");
  EXPECT_TRUE(scanner.stopped());
  EXPECT_EQ(scanner.push("three"), "");
  EXPECT_EQ(scanner.finish(), "");
}

TEST(StopScanner, ReleasesWhatWasNoStop) {
  StopScanner scanner({"END"});
  EXPECT_EQ(scanner.push("EN"), "");
  EXPECT_EQ(scanner.push("V"), "ENV");
  EXPECT_EQ(scanner.push("E"), "");
  EXPECT_EQ(scanner.finish(), "E");
}

TEST(StopScanner, FindsTheEarliestOfSeveral) {
  StopScanner scanner({"later", "a"});
  EXPECT_EQ(run(scanner, {"xyz a later"}), "xyz ");
}

// The held tail can itself begin again: "aab" in "aaab".
TEST(StopScanner, HandlesSelfOverlap) {
  StopScanner scanner({"aab"});
  EXPECT_EQ(run(scanner, {"a", "a", "a", "b"}), "a");
  EXPECT_TRUE(scanner.stopped());
}

TEST(StopScanner, ShowsWhatStoppedWhereItIsAsked) {
  StopScanner spread({"END"}, true);
  EXPECT_EQ(run(spread, {"one E", "N", "D two", "three"}), "one END");
  EXPECT_TRUE(spread.stopped());
  StopScanner several({"later", "abc", "ab", "abcd"}, true);
  EXPECT_EQ(run(several, {"xyz abcde later"}), "xyz ab");
  StopScanner none({"END"}, true);
  EXPECT_EQ(run(none, {"one E"}), "one E");
}

TEST(StopScanner, IgnoresEmptyStops) {
  StopScanner scanner({""});
  EXPECT_EQ(run(scanner, {"text"}), "text");
  EXPECT_FALSE(scanner.stopped());
}

}  // namespace
}  // namespace tern::engine
