#include "text/utf8.h"

namespace tern::text {
namespace {

// What a lead byte promises: the length and the range of the second byte, which alone excludes
// overlong forms, surrogates and code points beyond U+10FFFF. Length 0: not a lead byte.
struct Lead {
  std::uint8_t length;
  std::uint8_t low;
  std::uint8_t high;
};

Lead lead(std::uint8_t byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Sequence next_utf8(std::string_view text, std::size_t at) {
  const auto first = static_cast<std::uint8_t>(text[at]);
  if (first < 0x80) return {first, 1, Utf8Status::kValid};
  const Lead expected = lead(first);
  if (expected.length == 0) return {0, 1, Utf8Status::kInvalid};

  char32_t code_point = first & (0x7Fu >> expected.length);
  for (std::size_t i = 1; i < expected.length; ++i) {
    if (at + i == text.size()) return {0, i, Utf8Status::kCut};
    const auto byte = static_cast<std::uint8_t>(text[at + i]);
    const std::uint8_t low = i == 1 ? expected.low : 0x80;
    const std::uint8_t high = i == 1 ? expected.high : 0xBF;
    if (byte < low || byte > high) return {0, i, Utf8Status::kInvalid};
    code_point = code_point << 6 | (byte & 0x3Fu);
  }
  return {code_point, expected.length, Utf8Status::kValid};
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = next_utf8(text, at);
    out += sequence.status == Utf8Status::kValid ? text.substr(at, sequence.length)
                                                 : kReplacementCharacter;
    at += sequence.length;
  }
  return out;
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto tail = [&](unsigned shift) {
    text += static_cast<char>(0x80 | (code_point >> shift & 0x3F));
  };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xC0 | code_point >> 6);
    tail(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xE0 | code_point >> 12);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | code_point >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace tern::text
