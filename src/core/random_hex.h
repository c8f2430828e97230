// Names and secrets that nobody can guess.
#pragma once

#include <cstddef>
#include <string>

namespace tern {

// `bytes` bytes of the kernel's random generator, two hexadecimal digits each. Throws
// std::system_error where this process may not ask it.
std::string random_hex(std::size_t bytes);

}  // namespace tern
