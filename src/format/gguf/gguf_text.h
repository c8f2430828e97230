// Text out of a GGUF file: is it UTF-8, and how does a message show it.
#pragma once

#include <string>
#include <string_view>

namespace tern::format {

// Strict: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

// In quotes, cut when long, bytes outside of printable ASCII as \xNN: safe for a terminal.
std::string in_quotes(std::string_view text);

}  // namespace tern::format
