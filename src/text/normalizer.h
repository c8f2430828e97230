// Unicode normalisation as far as tokenizers ask for it: NFC, in which a letter and its accent are
// one code point where there is one. In time O(n log n), whatever the text.
#pragma once

#include <string>
#include <string_view>

namespace tern::text {

// The text in NFC (Unicode 15). Bytes that are no UTF-8 stay as they are.
std::string to_nfc(std::string_view text);

}  // namespace tern::text
