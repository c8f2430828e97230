#include "format/float_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/float16.h"
#include "format/ternary/tq.h"

namespace tern::format {
namespace {

constexpr std::size_t kQ4Elements = 32;
constexpr std::size_t kQ4Bytes = 2 + kQ4Elements / 2;
constexpr std::size_t kQ8Elements = 32;
constexpr std::size_t kQ8Bytes = 2 + kQ8Elements;
constexpr std::size_t kQ6Elements = 256;
constexpr std::size_t kQ6HighOffset = kQ6Elements / 2;
constexpr std::size_t kQ6ScaleOffset = kQ6HighOffset + kQ6Elements / 4;
constexpr std::size_t kQ6DOffset = kQ6ScaleOffset + kQ6Elements / 16;
constexpr std::size_t kQ6Bytes = kQ6DOffset + 2;
static_assert(kQ6Bytes == 210);

std::uint16_t load_u16(const std::byte* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

// f16_to_f32() by masks, so that compilers make vectors of a row: a head has many.
float widened(std::uint16_t half) {
  const auto all_if = [](bool condition) { return -static_cast<std::uint32_t>(condition); };
  const std::uint32_t magnitude = half & 0x7fffu;
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t special = all_if(magnitude >= 0x7c00u) & 0x7f800000u;  // infinities and NaNs
  const std::uint32_t normal = ((magnitude << 13) + (112u << 23)) | special;
  const float subnormal = static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f;
  const std::uint32_t small = all_if(magnitude < 0x400u);
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(subnormal) & small) |
                              (normal & ~small) | sign);
}

// Byte i has value i in its low nibble and value 16+i in its high one.
void dequantize_q4_0(const std::byte* block, float* out) {
  const float d = f16_to_f32(load_u16(block));
  for (std::size_t i = 0; i < kQ4Elements / 2; ++i) {
    const int quants = std::to_integer<int>(block[2 + i]);
    out[i] = d * static_cast<float>((quants & 15) - 8);
    out[kQ4Elements / 2 + i] = d * static_cast<float>((quants >> 4) - 8);
  }
}

void dequantize_q8_0(const std::byte* block, float* out) {
  const float d = f16_to_f32(load_u16(block));
  for (std::size_t i = 0; i < kQ8Elements; ++i) {
    out[i] = d * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
  }
}

// Each half of 128 values has 64 bytes of ql, 32 of qh and 8 scales. Value 32*g + i of a half takes
// its low bits from the low (g < 2) or high nibble of ql[32*(g%2) + i] and its high bits from bits
// 2g+1:2g of qh[i].
void dequantize_q6_k(const std::byte* block, float* out) {
  const float d = f16_to_f32(load_u16(block + kQ6DOffset));
  for (std::size_t half = 0; half < 2; ++half) {
    const std::byte* low = block + 64 * half;
    const std::byte* high = block + kQ6HighOffset + 32 * half;
    const std::byte* scales = block + kQ6ScaleOffset + 8 * half;
    for (std::size_t g = 0; g < 4; ++g) {
      for (std::size_t i = 0; i < 32; ++i) {
        const auto nibble = (std::to_integer<int>(low[32 * (g % 2) + i]) >> (g < 2 ? 0 : 4)) & 15;
        const auto top = (std::to_integer<int>(high[i]) >> (2 * g)) & 3;
        const int q = (nibble | (top << 4)) - 32;
        const float scale = static_cast<float>(static_cast<std::int8_t>(scales[2 * g + i / 16]));
        out[128 * half + 32 * g + i] = (d * scale) * static_cast<float>(q);
      }
    }
  }
}

template <TqLayout layout>
void dequantize_tq(const std::byte* block, float* out) {
  const float d = f16_to_f32(tq_block_scale(layout, block));
  std::array<std::int8_t, kTqBlockElements> trits;
  decode_tq_block(layout, block, trits.data());
  for (std::size_t i = 0; i < trits.size(); ++i) out[i] = d * static_cast<float>(trits[i]);
}

template <typename Dequantize>
void each_block(TensorType type, const std::byte* row, std::size_t columns, float* out,
                Dequantize dequantize) {
  const std::uint64_t elements = block_elements(type);
  for (std::size_t b = 0; b < columns / elements; ++b) {
    dequantize(row + b * block_bytes(type), out + b * elements);
  }
}

}  // namespace

std::uint64_t block_elements(TensorType type) {
  switch (type) {
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kBF16: return 1;
    case TensorType::kQ4_0: return kQ4Elements;
    case TensorType::kQ8_0: return kQ8Elements;
    case TensorType::kQ6_K: return kQ6Elements;
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0: return kTqBlockElements;
    case TensorType::kI2_S:
    case TensorType::kTL1:
    case TensorType::kTL2:
    case TensorType::kIQ1_BN:
    case TensorType::kIQ2_BN: return 0;
  }
  return 0;
}

std::uint64_t block_bytes(TensorType type) {
  switch (type) {
    case TensorType::kF32: return 4;
    case TensorType::kF16:
    case TensorType::kBF16: return 2;
    case TensorType::kQ4_0: return kQ4Bytes;
    case TensorType::kQ8_0: return kQ8Bytes;
    case TensorType::kQ6_K: return kQ6Bytes;
    case TensorType::kTQ1_0: return tq_block_bytes(TqLayout::kTQ1_0);
    case TensorType::kTQ2_0: return tq_block_bytes(TqLayout::kTQ2_0);
    case TensorType::kI2_S:
    case TensorType::kTL1:
    case TensorType::kTL2:
    case TensorType::kIQ1_BN:
    case TensorType::kIQ2_BN: return 0;
  }
  return 0;
}

std::uint64_t row_bytes(TensorType type, std::uint64_t columns) {
  const std::uint64_t elements = block_elements(type);
  return elements == 0 ? 0 : columns / elements * block_bytes(type);
}

void dequantize_row(TensorType type, const std::byte* row, std::size_t columns, float* out) {
  switch (type) {
    case TensorType::kF32: std::memcpy(out, row, columns * sizeof(float)); return;
    case TensorType::kF16:
      for (std::size_t i = 0; i < columns; ++i) out[i] = widened(load_u16(row + 2 * i));
      return;
    case TensorType::kBF16:
      for (std::size_t i = 0; i < columns; ++i) out[i] = bf16_to_f32(load_u16(row + 2 * i));
      return;
    case TensorType::kQ4_0: return each_block(type, row, columns, out, dequantize_q4_0);
    case TensorType::kQ8_0: return each_block(type, row, columns, out, dequantize_q8_0);
    case TensorType::kQ6_K: return each_block(type, row, columns, out, dequantize_q6_k);
    case TensorType::kTQ1_0:
      return each_block(type, row, columns, out, dequantize_tq<TqLayout::kTQ1_0>);
    case TensorType::kTQ2_0:
      return each_block(type, row, columns, out, dequantize_tq<TqLayout::kTQ2_0>);
    case TensorType::kI2_S:
    case TensorType::kTL1:
    case TensorType::kTL2:
    case TensorType::kIQ1_BN:
    case TensorType::kIQ2_BN: return;
  }
}

void quantize_row_q8_0(const float* values, std::size_t columns, std::byte* row) {
  for (std::size_t b = 0; b < columns / kQ8Elements; ++b) {
    const float* x = values + b * kQ8Elements;
    std::byte* block = row + b * kQ8Bytes;
    float largest = 0;
    for (std::size_t i = 0; i < kQ8Elements; ++i) largest = std::max(largest, std::fabs(x[i]));
    const float d = largest / 127.0f;
    const float reciprocal = d != 0 ? 1.0f / d : 0.0f;
    const float inverse = std::isfinite(reciprocal) ? reciprocal : 0.0f;  // f16 has no such d
    const std::uint16_t d_bits = f32_to_f16(d);
    std::memcpy(block, &d_bits, sizeof d_bits);
    for (std::size_t i = 0; i < kQ8Elements; ++i) {
      block[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(x[i] * inverse)));
    }
  }
}

void pack_q8_0(std::uint16_t d, const std::int8_t* quants, std::byte* block) {
  std::memcpy(block, &d, sizeof d);
  std::memcpy(block + sizeof d, quants, kQ8Elements);
}

void pack_q6_k(std::uint16_t d, const std::int8_t* scales, const std::int8_t* quants,
               std::byte* block) {
  std::memset(block, 0, kQ6ScaleOffset);
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t g = 0; g < 4; ++g) {
      for (std::size_t i = 0; i < 32; ++i) {
        const auto q = static_cast<unsigned>(quants[128 * half + 32 * g + i] + 32);
        block[64 * half + 32 * (g % 2) + i] |= static_cast<std::byte>((q & 15u) << (g < 2 ? 0 : 4));
        block[kQ6HighOffset + 32 * half + i] |= static_cast<std::byte>(q >> 4 << (2 * g));
      }
    }
  }
  std::memcpy(block + kQ6ScaleOffset, scales, kQ6Elements / 16);
  std::memcpy(block + kQ6DOffset, &d, sizeof d);
}

}  // namespace tern::format
