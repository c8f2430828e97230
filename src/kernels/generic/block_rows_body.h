// Rows of dot products over the blocks of q8_0 and q6_k, dequantised in registers.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr std::size_t kQ8Elements = 32;
inline constexpr std::size_t kQ8Bytes = 2 + kQ8Elements;
inline constexpr std::size_t kQ6Elements = 256;
inline constexpr std::size_t kQ6HighOffset = 128;
inline constexpr std::size_t kQ6ScaleOffset = 192;
inline constexpr std::size_t kQ6DOffset = 208;
inline constexpr std::size_t kQ6Bytes = 210;

TERN_INLINE float f16_at(const std::uint8_t* p) {
  std::uint16_t half;
  __builtin_memcpy(&half, p, sizeof half);
  return f16_value(half);
}

// One block of 32 into the lower or the upper half of the lanes.
TERN_INLINE void add_q8_0(const float* x, const std::uint8_t* block, Vec* lanes) {
  const Vec d = splat(f16_at(block));
  const auto* quants = reinterpret_cast<const std::int8_t*>(block + 2);
  constexpr int kVectors = static_cast<int>(kQ8Elements) / kLanes;
#pragma GCC unroll 8
  for (int j = 0; j < kVectors; ++j) {
    const std::size_t at = static_cast<std::size_t>(j) * kLanes;
    lanes[j] = fmadd(load(x + at), mul(d, load_i8(quants + at)), lanes[j]);
  }
}

void dot_rows_q8_0(const float* x, const std::uint8_t* w, std::size_t n, std::size_t rows,
                   float* y) {
  const std::size_t blocks = n / kQ8Elements;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::uint8_t* row = w + r * blocks * kQ8Bytes;
    Sum64 sum = sum_zero();
    std::size_t b = 0;
    for (; b + 2 <= blocks; b += 2) {
      add_q8_0(x + b * kQ8Elements, row + b * kQ8Bytes, sum.lanes);
      add_q8_0(x + (b + 1) * kQ8Elements, row + (b + 1) * kQ8Bytes, sum.lanes + kRegisters / 2);
    }
    if (b < blocks) add_q8_0(x + b * kQ8Elements, row + b * kQ8Bytes, sum.lanes);
    y[r] = sum_total(sum);
  }
}

// The values of a block without its scales, -32 to 31. Plain bytes: compilers vectorise the loop.
TERN_INLINE void unpack_q6_k(const std::uint8_t* block, std::int8_t* quants) {
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* low = block + 64 * half;
    const std::uint8_t* high = block + kQ6HighOffset + 32 * half;
    std::int8_t* q = quants + 128 * half;
    for (int i = 0; i < 32; ++i) {
      const std::uint8_t top = high[i];
      q[i] = static_cast<std::int8_t>(((low[i] & 15) | ((top & 3) << 4)) - 32);
      q[32 + i] = static_cast<std::int8_t>(((low[32 + i] & 15) | ((top >> 2 & 3) << 4)) - 32);
      q[64 + i] = static_cast<std::int8_t>(((low[i] >> 4) | ((top >> 4 & 3) << 4)) - 32);
      q[96 + i] = static_cast<std::int8_t>(((low[32 + i] >> 4) | (top >> 6 << 4)) - 32);
    }
  }
}

void dot_rows_q6_k(const float* x, const std::uint8_t* w, std::size_t n, std::size_t rows,
                   float* y) {
  const std::size_t blocks = n / kQ6Elements;
  for (std::size_t r = 0; r < rows; ++r) {
    Sum64 sum = sum_zero();
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::uint8_t* block = w + (r * blocks + b) * kQ6Bytes;
      alignas(64) std::int8_t quants[kQ6Elements];
      unpack_q6_k(block, quants);
      const float d = f16_at(block + kQ6DOffset);
      const auto* scales = reinterpret_cast<const std::int8_t*>(block + kQ6ScaleOffset);
      for (std::size_t part = 0; part < kQ6Elements; part += kSumLanes) {
#pragma GCC unroll 16
        for (int j = 0; j < kRegisters; ++j) {
          const std::size_t at = part + static_cast<std::size_t>(j) * kLanes;
          const std::int8_t of_sixteen = scales[at / 16];
          const Vec scale = splat(d * static_cast<float>(of_sixteen));
          sum.lanes[j] =
              fmadd(load(x + b * kQ6Elements + at), mul(scale, load_i8(quants + at)), sum.lanes[j]);
        }
      }
    }
    y[r] = sum_total(sum);
  }
}
