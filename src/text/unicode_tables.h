// The class of a code point as pre-tokenizers see it, from Unicode 16.0.0: the version that the
// regular expressions of Hugging Face tokenizers 0.23 use, on which the golden vectors stand.
// Two-stage table: an index of blocks of 256 code points, then two bits for each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tern::text {

enum class CharClass : std::uint8_t {
  kOther = 0,   // punctuation, symbols, marks, controls, what is unassigned
  kLetter = 1,  // \p{L}
  kNumber = 2,  // \p{N}
  kSpace = 3,   // \s, the property White_Space
};

namespace unicode_tables {

inline constexpr std::size_t kIndexSize = 804;  // beyond the last block all is kOther
inline constexpr std::size_t kWordCount = 1064;
extern const std::array<std::uint8_t, kIndexSize> kIndex;
extern const std::array<std::uint64_t, kWordCount> kWords;

}  // namespace unicode_tables

inline CharClass char_class(char32_t code_point) {
  const std::size_t block = code_point >> 8;
  if (block >= unicode_tables::kIndexSize) return CharClass::kOther;
  const std::size_t word = unicode_tables::kIndex[block] * 8u + ((code_point >> 5) & 7);
  return static_cast<CharClass>(unicode_tables::kWords[word] >> (2 * (code_point & 31)) & 3);
}

}  // namespace tern::text
