// The alphabet in which byte-level vocabularies write bytes as visible characters (GPT-2's
// bytes_to_unicode): printable Latin-1 stands for itself, the other 68 bytes are U+0100 and up, in
// order. A space is "Ġ" (U+0120), a newline "Ċ" (U+010A).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tern::text {

// The byte that a character stands for; none for a character outside of the alphabet.
std::optional<std::uint8_t> byte_of_character(char32_t code_point);

// The bytes that a text in the alphabet stands for; none where it holds another character.
std::optional<std::string> bytes_of_alphabet_text(std::string_view text);

}  // namespace tern::text
