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
  StopScanner spread({"END"}, 1);
  EXPECT_EQ(run(spread, {"one E", "N", "D two", "three"}), "one END");
  EXPECT_TRUE(spread.stopped());
  StopScanner several({"later", "abc", "ab", "abcd"}, 4);
  EXPECT_EQ(run(several, {"xyz abcde later"}), "xyz ab");
  StopScanner twice({"END", "END"}, 1);
  EXPECT_EQ(run(twice, {"one END"}), "one END");
  StopScanner none({"END"}, 1);
  EXPECT_EQ(run(none, {"one E"}), "one E");
  for (const char* text : {"one END", "one STOP"}) {  // the second one is not shown
    StopScanner some({"", "END", "STOP"}, 2);
    EXPECT_EQ(run(some, {text}), std::string(text) == "one END" ? text : "one ");
  }
}

// What begins before a text may stop counts where it ends behind that.
TEST(StopScanner, StopsWithTextsThatMayAlone) {
  for (std::size_t late = 0; late <= 6; ++late) {
    StopScanner scanner({"cd", "d", "bcdx"});
    std::string shown;
    const std::string text = "abcdef";
    for (std::size_t i = 0; i < text.size(); ++i) {
      shown += scanner.push(text.substr(i, 1), i >= late);
    }
    shown += scanner.finish();
    EXPECT_EQ(scanner.stopped(), late <= 3) << late;
    EXPECT_EQ(shown, late <= 3 ? "ab" : text) << late;
  }
  StopScanner again({"aa"});
  EXPECT_EQ(again.push("aaaa", false), "aaa");  // the last may begin one
  EXPECT_EQ(again.push("a"), "");
  EXPECT_TRUE(again.stopped());
}

TEST(StopScanner, IgnoresEmptyStops) {
  StopScanner scanner({""});
  EXPECT_EQ(run(scanner, {"text"}), "text");
  EXPECT_FALSE(scanner.stopped());
}

}  // namespace
}  // namespace tern::engine
