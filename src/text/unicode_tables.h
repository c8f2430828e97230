// The class of a code point as pre-tokenizers see it, from Unicode 16.0.0: the version that the
// regular expressions of Hugging Face tokenizers 0.23 use, on which the golden vectors stand.
// Two-stage table: an index of blocks of 256 code points, then two bits for each. Beside it, what
// Hugging Face's pre-tokenizer Punctuation takes, which is older than that version.
#pragma once

#include <algorithm>
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

struct CodePointRange {
  char32_t first;
  char32_t last;
};
inline constexpr std::size_t kPunctuationCount = 156;
extern const std::array<CodePointRange, kPunctuationCount> kPunctuation;  // ascending

}  // namespace unicode_tables

inline CharClass char_class(char32_t code_point) {
  const std::size_t block = code_point >> 8;
  if (block >= unicode_tables::kIndexSize) return CharClass::kOther;
  const std::size_t word = unicode_tables::kIndex[block] * 8u + ((code_point >> 5) & 7);
  return static_cast<CharClass>(unicode_tables::kWords[word] >> (2 * (code_point & 31)) & 3);
}

// \p{P} of an older Unicode, and the symbols of ASCII: $+<=>^`|~.
inline bool is_punctuation(char32_t code_point) {
  const auto& ranges = unicode_tables::kPunctuation;
  const auto range = std::partition_point(ranges.begin(), ranges.end(),
                                          [&](const auto& r) { return r.last < code_point; });
  return range != ranges.end() && range->first <= code_point;
}

}  // namespace tern::text
