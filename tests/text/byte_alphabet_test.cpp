#include "text/byte_alphabet.h"

#include <gtest/gtest.h>

#include <array>

namespace tern::text {
namespace {

TEST(ByteAlphabet, HasOneCharacterForEachByte) {
  std::array<int, 256> seen{};
  int characters = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (const auto byte = byte_of_character(c)) {
      ++seen[*byte];
      ++characters;
    }
  }
  EXPECT_EQ(characters, 256);
  for (const int n : seen) EXPECT_EQ(n, 1);
}

TEST(ByteAlphabet, IsThatOfGpt2) {
  EXPECT_EQ(byte_of_character(U'!'), 0x21);
  EXPECT_EQ(byte_of_character(U'~'), 0x7E);
  EXPECT_EQ(byte_of_character(0xA1), 0xA1);
  EXPECT_EQ(byte_of_character(0xFF), 0xFF);
  EXPECT_EQ(byte_of_character(U'Ā'), 0x00);
  EXPECT_EQ(byte_of_character(U'Ċ'), '\n');
  EXPECT_EQ(byte_of_character(U'Ġ'), ' ');
  EXPECT_EQ(byte_of_character(U'ġ'), 0x7F);
  EXPECT_EQ(byte_of_character(U'ł'), 0xA0);
  EXPECT_EQ(byte_of_character(U'Ń'), 0xAD);
  EXPECT_EQ(byte_of_character(U'ń'), std::nullopt);
  EXPECT_EQ(byte_of_character(U' '), std::nullopt);
  EXPECT_EQ(byte_of_character(0xA0), std::nullopt);
  EXPECT_EQ(byte_of_character(0xAD), std::nullopt);
}

TEST(ByteAlphabet, ReadsTextAsBytes) {
  EXPECT_EQ(bytes_of_alphabet_text("Ġthe"), " the");
  EXPECT_EQ(bytes_of_alphabet_text("æµ·"), "海");
  EXPECT_EQ(bytes_of_alphabet_text(""), "");
  EXPECT_EQ(bytes_of_alphabet_text("a b"), std::nullopt);
  EXPECT_EQ(bytes_of_alphabet_text("海"), std::nullopt);
  EXPECT_EQ(bytes_of_alphabet_text("a\xC4"), std::nullopt);
}

}  // namespace
}  // namespace tern::text
