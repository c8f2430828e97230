// NumPy's .npy files, format version 1.0: a header in front of plain values.
#pragma once

#include <cstdint>
#include <string>

namespace tern::format {

// What stands before rows * columns little-endian f32 values, row after row.
std::string npy_f32_header(std::uint64_t rows, std::uint64_t columns);

}  // namespace tern::format
