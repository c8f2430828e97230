#include "text/byte_alphabet.h"

#include "text/utf8.h"

namespace tern::text {
std::optional<std::uint8_t> byte_of_character(char32_t code_point) {
  const auto byte = [](char32_t value) { return static_cast<std::uint8_t>(value); };
  if (code_point >= 0x100) {  // the bytes that are not visible: 00-20, 7F-A0, AD
    const char32_t nth = code_point - 0x100;
    if (nth <= 0x20) return byte(nth);
    if (nth <= 0x42) return byte(nth + (0x7F - 0x21));
    if (nth == 0x43) return byte(0xAD);
    return std::nullopt;
  }
  const bool visible =
      (code_point >= 0x21 && code_point <= 0x7E) || (code_point >= 0xA1 && code_point != 0xAD);
  if (!visible) return std::nullopt;
  return byte(code_point);
}

std::optional<std::string> bytes_of_alphabet_text(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = next_utf8(text, at);
    // The code point of an invalid sequence is 0, and that is outside of the alphabet.
    const auto byte = byte_of_character(sequence.code_point);
    if (!byte) return std::nullopt;
    out += static_cast<char>(*byte);
    at += sequence.length;
  }
  return out;
}

}  // namespace tern::text
