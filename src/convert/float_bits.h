// Weights as the bits of their floats: magnitudes compare as integers, so trits come straight from
// a file's bytes. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/safetensors/safetensors_file.h"

namespace tern::convert {

// F16, BF16 and F32; what else a checkpoint holds is no weight.
bool is_float(format::SafetensorsType type);

// `count` values of that type, widened exactly.
void widen(format::SafetensorsType type, const std::byte* values, std::size_t count, float* out);

// The sum of the magnitudes: element i goes to partial sum i mod 8, in double, then the tree 4-2-1.
// NaN or infinite where a value is.
double sum_of_magnitudes(format::SafetensorsType type, const std::byte* values, std::size_t count);

// The magnitude of the first value that is not zero, as bits; 0: there is none.
std::uint32_t first_magnitude(format::SafetensorsType type, const std::byte* values,
                              std::size_t count);
float magnitude_value(format::SafetensorsType type, std::uint32_t bits);

// The largest magnitude, as bits of `type`, that round(w * s) makes zero, s = 1 / scale: all in f32
// and half to even, as the published rule has it.
std::uint32_t largest_zero(format::SafetensorsType type, float scale);

// Trits: 0 up to the magnitude `zero`, else the sign.
void trits_above(format::SafetensorsType type, const std::byte* values, std::size_t count,
                 std::uint32_t zero, std::int8_t* trits);

// Trits of values that are 0 or of one magnitude. Returns how many are neither.
std::size_t trits_of(format::SafetensorsType type, const std::byte* values, std::size_t count,
                     std::uint32_t magnitude, std::int8_t* trits);

// The trits of row `quarter` (0 to 3) of the four that a row of packed bytes holds; code 3 gives
// +2.
void unpack_quarter(const std::byte* packed, std::size_t count, unsigned quarter,
                    std::int8_t* trits);
bool has_code_3(std::span<const std::byte> packed);

}  // namespace tern::convert
