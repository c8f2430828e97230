// UTF-8, one sequence at a time, as Unicode 16.0 section 3.9 defines it (tables 3-7 and 3-8): no
// surrogates, no overlong forms, nothing beyond U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern::text {

enum class Utf8Status : std::uint8_t {
  kValid,
  kInvalid,  // `length` is that of the maximal subpart, which one U+FFFD replaces
  kCut,      // the text ends inside of what may yet become a valid sequence
};

struct Utf8Sequence {
  char32_t code_point = 0;  // of a valid sequence, else 0
  std::size_t length = 0;   // in bytes, at least 1
  Utf8Status status = Utf8Status::kInvalid;
};

// The sequence that begins at text[at]; `at` is less than text.size().
Utf8Sequence next_utf8(std::string_view text, std::size_t at);

// The text with U+FFFD for each maximal subpart of an ill-formed sequence.
std::string replace_invalid_utf8(std::string_view text);

// Appends a code point, which is a Unicode scalar value.
void append_utf8(std::string& text, char32_t code_point);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace tern::text
