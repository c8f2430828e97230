#include "text/utf8.h"

#include <gtest/gtest.h>

#include <vector>

namespace tern::text {
namespace {

TEST(Utf8, EveryScalarValueRoundTrips) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    ASSERT_EQ(text.size(), c < 0x80 ? 1u : c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u);
    const Utf8Sequence s = next_utf8(text, 0);
    ASSERT_EQ(s.status, Utf8Status::kValid) << std::hex << static_cast<std::uint32_t>(c);
    ASSERT_EQ(s.code_point, c);
    ASSERT_EQ(s.length, text.size());
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      const Utf8Sequence part = next_utf8(std::string_view(text).substr(0, cut), 0);
      ASSERT_EQ(part.status, Utf8Status::kCut) << std::hex << static_cast<std::uint32_t>(c);
      ASSERT_EQ(part.length, cut);
    }
  }
}

// The ill-formed sequences of tables 3-8 to 3-11 of the Unicode Standard, and their neighbours.
TEST(Utf8, ReplacesMaximalSubparts) {
  const std::string r(kReplacementCharacter);
  const auto replaced = [](std::string_view text) { return replace_invalid_utf8(text); };
  EXPECT_EQ(replaced("plain é 海 🐦"), "plain é 海 🐦");
  EXPECT_EQ(replaced("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replaced("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replaced("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(replaced("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(replaced("\xC1\xBF"), r + r);
  EXPECT_EQ(replaced("\xF5\x80\x80\x80"), r + r + r + r);
  EXPECT_EQ(replaced("\x80"), r);
  EXPECT_EQ(replaced("\xF0\x9F\x90"), r);
  EXPECT_EQ(replaced("\xF0\x9F\x90 "), r + " ");
  EXPECT_EQ(replaced("\xE6\xB5\xE6\xB5\xB7"), r + "海");
}

TEST(Utf8, ReadsNothingBeyondTheText) {
  for (const std::string_view text : {"a", "\xC3\xA9", "\xF0\x9F\x90", "\xFF"}) {
    const std::vector<char> exact(text.begin(), text.end());
    EXPECT_EQ(replace_invalid_utf8(std::string_view(exact.data(), exact.size())),
              replace_invalid_utf8(text));
  }
}

TEST(Utf8, KnowsWhatMayStillBecomeValid) {
  EXPECT_EQ(next_utf8("\xED\x9F", 0).status, Utf8Status::kCut);
  EXPECT_EQ(next_utf8("\xED\xA0", 0).status, Utf8Status::kInvalid);
  EXPECT_EQ(next_utf8("\xE0\x9F", 0).status, Utf8Status::kInvalid);
  EXPECT_EQ(next_utf8("\xE0\xA0", 0).status, Utf8Status::kCut);
  EXPECT_EQ(next_utf8("\xF0\x8F", 0).status, Utf8Status::kInvalid);
  EXPECT_EQ(next_utf8("\xF0\x90", 0).status, Utf8Status::kCut);
  EXPECT_EQ(next_utf8("\xF4\x8F", 0).status, Utf8Status::kCut);
  EXPECT_EQ(next_utf8("\xF4\x90", 0).status, Utf8Status::kInvalid);
  EXPECT_EQ(next_utf8("\xF5", 0).status, Utf8Status::kInvalid);
  EXPECT_EQ(next_utf8("\xC1", 0).status, Utf8Status::kInvalid);
  EXPECT_EQ(next_utf8("\xC2", 0).status, Utf8Status::kCut);
}

}  // namespace
}  // namespace tern::text
