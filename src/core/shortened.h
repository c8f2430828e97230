// Texts of others in messages: as much of them as a reader needs, however long they are.
#pragma once

#include <string>
#include <string_view>

namespace tern {

// At most the first 80 bytes, whole characters of UTF-8, and "..." where there are more.
std::string shortened(std::string_view text);

}  // namespace tern
