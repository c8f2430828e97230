// How many files and connections the process may have open.
#pragma once

#include <cstdint>

namespace tern::cli {

// Asks for as many as the system allows, which is often far more than a shell gives, and returns
// how many there may be; the largest number where nobody says.
std::uint64_t raise_descriptors();

}  // namespace tern::cli
