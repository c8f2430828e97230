#include "cli/printable.h"

#include <fmt/format.h>

#include "text/utf8.h"

namespace tern::cli {
namespace {

bool is_invisible(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

// Within running text: what moves a cursor, or turns text round.
bool is_control(char32_t c) {
  if (c == '\n' || c == '\t') return false;
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069);
}

std::string escaped(char32_t c) {
  switch (c) {
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
  }
  const auto value = static_cast<std::uint32_t>(c);
  return value < 0x80 ? fmt::format("\\x{:02x}", value) : fmt::format("\\u{{{:04x}}}", value);
}

std::string escape(std::string_view text, std::string_view also,
                   bool (*is_hidden)(char32_t) = is_invisible) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const text::Utf8Sequence sequence = text::next_utf8(text, at);
    const std::string_view bytes = text.substr(at, sequence.length);
    if (sequence.status != text::Utf8Status::kValid) {
      for (const char byte : bytes) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      }
    } else if (is_hidden(sequence.code_point)) {
      out += escaped(sequence.code_point);
    } else {
      if (also.find(bytes) != std::string_view::npos) out += '\\';
      out += bytes;
    }
    at += sequence.length;
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return escape(text, ""); }

std::string printable_lines(std::string_view text) { return escape(text, "", is_control); }

std::string quoted(std::string_view text) { return '"' + escape(text, "\"\\") + '"'; }

}  // namespace tern::cli
