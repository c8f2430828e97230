// IEEE half precision and bfloat16 as bit patterns: exact widening, narrowing to nearest even.
#pragma once

#include <cstdint>

namespace tern {

float f16_to_f32(std::uint16_t half);
float bf16_to_f32(std::uint16_t brain);

// Overflow gives infinity, NaN stays NaN (quiet).
std::uint16_t f32_to_f16(float value);
std::uint16_t f32_to_bf16(float value);

}  // namespace tern
