#include "core/sealed_line.h"

#include <span>

#include "core/fast_hash.h"

namespace tern {

std::string hex(std::uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 16; i-- != 0; value >>= 4) text[i] = kDigits[value & 15u];
  return text;
}

std::string sealed(const std::string& text) {
  return text + " " + hex(fast_hash(std::as_bytes(std::span(text)))) + "\n";
}

std::optional<std::string> unsealed(std::string_view line) {
  const std::size_t space = line.rfind(' ');
  if (space == std::string_view::npos) return std::nullopt;
  std::string text(line.substr(0, space));
  if (sealed(text) != std::string(line) + "\n") return std::nullopt;
  return text;
}

}  // namespace tern
