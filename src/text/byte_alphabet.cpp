#include "text/byte_alphabet.h"

#include <array>

#include "text/utf8.h"

namespace tern::text {
namespace {

constexpr bool is_visible(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

constexpr std::size_t kShifted = 68;  // bytes that are not visible themselves

constexpr std::array<std::uint8_t, kShifted> shifted_bytes() {
  std::array<std::uint8_t, kShifted> out{};
  std::size_t n = 0;
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!is_visible(byte)) out[n++] = static_cast<std::uint8_t>(byte);
  }
  return out;
}

constexpr std::array<std::uint8_t, kShifted> kShiftedBytes = shifted_bytes();

}  // namespace

std::optional<std::uint8_t> byte_of_character(char32_t code_point) {
  if (code_point < 256) {
    if (!is_visible(code_point)) return std::nullopt;
    return static_cast<std::uint8_t>(code_point);
  }
  if (code_point - 256 >= kShifted) return std::nullopt;
  return kShiftedBytes[code_point - 256];
}

std::optional<std::string> bytes_of_alphabet_text(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = next_utf8(text, at);
    if (sequence.status != Utf8Status::kValid) return std::nullopt;
    const auto byte = byte_of_character(sequence.code_point);
    if (!byte) return std::nullopt;
    out += static_cast<char>(*byte);
    at += sequence.length;
  }
  return out;
}

}  // namespace tern::text
