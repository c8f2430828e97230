// Names and secrets that nobody can guess.
#pragma once

#include <cstddef>
#include <string>

namespace tern {

// `bytes` bytes of the C library's generator, which is the kernel's; two hexadecimal digits each.
std::string random_hex(std::size_t bytes);

}  // namespace tern
