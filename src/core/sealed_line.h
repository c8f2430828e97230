// Lines of a journal that carry a hash of their own text, so that one that was cut by the end of a
// process, or damaged, is known. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tern {

// 16 lower-case hexadecimal digits.
std::string hex(std::uint64_t value);

// The text, its hash and a line break.
std::string sealed(const std::string& text);

// The text of a sealed line, given without its line break; no value where it is not whole.
std::optional<std::string> unsealed(std::string_view line);

}  // namespace tern
