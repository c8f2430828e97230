#include "text/normalizer.h"

#include <gtest/gtest.h>

namespace tern::text {
namespace {

TEST(ToNfc, ComposesWhatHasACodePoint) {
  EXPECT_EQ(to_nfc(""), "");
  EXPECT_EQ(to_nfc("plain"), "plain");
  EXPECT_EQ(to_nfc("e\u0301te\u0301"), "été");
  EXPECT_EQ(to_nfc("\u1112\u1161\u11ab"), "한");
  EXPECT_EQ(to_nfc("\u212b"), "Å");             // the sign of the unit is the letter
  EXPECT_EQ(to_nfc("\ufb01"), "\ufb01");        // compatibility is none of its business
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");  // excluded from composition
  EXPECT_EQ(to_nfc("x\u0301"), "x\u0301");
}

TEST(ToNfc, PutsMarksInOrder) {
  EXPECT_EQ(to_nfc("q\u0307\u0323"), "q\u0323\u0307");
  EXPECT_EQ(to_nfc("q\u0301\u0300"), "q\u0301\u0300");  // of one class: as they stand
  EXPECT_EQ(to_nfc("a\u0301\u0323"), "ạ\u0301");
}

TEST(ToNfc, LeavesBytesThatAreNoUtf8) {
  EXPECT_EQ(to_nfc("e\xff\u0301"), "e\xff\u0301");  // nothing composes across them
  EXPECT_EQ(to_nfc("\xc3"), "\xc3");
  EXPECT_EQ(to_nfc(std::string("a\0e\u0301", 5)), std::string("a\0é", 4));
}

// Marks of falling classes, which sorting by exchange of neighbours would take quadratic time for.
TEST(ToNfc, TakesNoQuadraticTime) {
  std::string text = "a";
  constexpr int kMarks = 200'000;
  for (int i = 0; i < kMarks; ++i) text += i < kMarks / 2 ? "\u0301" : "\u0323";
  const std::string composed = to_nfc(text);
  EXPECT_EQ(composed.substr(0, 5), "ạ\u0323");
  EXPECT_EQ(composed.substr(composed.size() - 2), "\u0301");
}

}  // namespace
}  // namespace tern::text
