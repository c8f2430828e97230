#include "text/unicode_tables.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace tern::text {
namespace {

// Counts and hash were taken from the classes that the regular expressions of Hugging Face
// tokenizers 0.23.3 give to every code point, not from the generator of the tables.
TEST(UnicodeTables, EqualTheClassesOfTheReference) {
  std::array<int, 4> count{};
  std::uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a over the classes
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    const auto kind = static_cast<std::size_t>(char_class(c));
    ++count[kind];
    hash = (hash ^ kind) * 0x100000001B3u;
  }
  EXPECT_EQ(count[1], 141028);  // letters
  EXPECT_EQ(count[2], 1911);    // numbers
  EXPECT_EQ(count[3], 25);      // spaces
  EXPECT_EQ(hash, 0x48B1698009766D10u);
}

// As above, from the pre-tokenizer Punctuation of the same version.
TEST(UnicodeTables, PunctuationEqualsTheReference) {
  int count = 0;
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    count += is_punctuation(c) ? 1 : 0;
    hash = (hash ^ (is_punctuation(c) ? 1u : 0u)) * 0x100000001B3u;
  }
  EXPECT_EQ(count, 726);
  EXPECT_EQ(hash, 0x62D9A6D8C535DE1Bu);
  for (const char32_t c : {U'!', U'$', U'`', U'~', U'_', U'«', U'、', U'！'}) {
    EXPECT_TRUE(is_punctuation(c)) << std::hex << static_cast<std::uint32_t>(c);
  }
  for (const char32_t c : {U'a', U'0', U' ', U'€', U'×', U'\uFFFD'}) {
    EXPECT_FALSE(is_punctuation(c)) << std::hex << static_cast<std::uint32_t>(c);
  }
}

TEST(UnicodeTables, KnownCharacters) {
  for (const char32_t c : {U'a', U'Z', U'ª', U'ß', U'ſ', U'ʰ', U'海', U'ﬁ', U'ǅ'}) {
    EXPECT_EQ(char_class(c), CharClass::kLetter) << std::hex << static_cast<std::uint32_t>(c);
  }
  for (const char32_t c : {U'0', U'9', U'²', U'½', U'Ⅷ', U'②', U'१'}) {
    EXPECT_EQ(char_class(c), CharClass::kNumber) << std::hex << static_cast<std::uint32_t>(c);
  }
  for (const char32_t c : {0x09, 0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x3000}) {
    EXPECT_EQ(char_class(c), CharClass::kSpace) << std::hex << static_cast<std::uint32_t>(c);
  }
  // Among them what other definitions of white space or letters include: U+001C, U+180E, U+200B,
  // U+FEFF, a combining mark; and what is unassigned, for private use, or no code point.
  for (const char32_t c : {0x00, 0x08, 0x0E, 0x1C, 0x21, 0x5F, 0x180E, 0x200B, 0xFEFF, 0x0301,
                           0x1F426, 0x0378, 0xE000, 0x323B0, 0x10FFFF, 0x110000}) {
    EXPECT_EQ(char_class(c), CharClass::kOther) << std::hex << static_cast<std::uint32_t>(c);
  }
}

}  // namespace
}  // namespace tern::text
