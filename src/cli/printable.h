// Text of files and users made safe for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace tern::cli {

// Printable UTF-8 stays; control characters, invisible formatting (by which text can be made to
// look like other text) and invalid bytes become \n, \t, \r, \xNN or \u{NNNN}.
std::string printable(std::string_view text);

// Text of many lines: line breaks and tabs stay, and so do joiners and marks of direction that many
// scripts need; control characters and overrides of the order of characters are shown as above.
std::string printable_lines(std::string_view text);

// printable() in double quotes, with quotes and backslashes escaped: a token as it is.
std::string quoted(std::string_view text);

}  // namespace tern::cli
