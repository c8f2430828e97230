// Any bytes as a row of numbers: dequantize_row() agrees with a second decoder in doubles, which
// rounds once; what is packed again is the same; quantising to q8_0 errs by half a step at most.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "core/float16.h"
#include "format/float_blocks.h"

namespace {

using namespace tern::format;
using tern::fuzz::Input;
using tern::fuzz::require;

unsigned byte_at(const std::byte* at) { return std::to_integer<unsigned>(*at); }
int signed_at(const std::byte* at) { return static_cast<std::int8_t>(byte_at(at)); }
std::uint16_t half_at(const std::byte* at) {
  return static_cast<std::uint16_t>(byte_at(at) | byte_at(at + 1) << 8);
}

double value_of_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  double value =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) {
    value = fraction == 0 ? std::numeric_limits<double>::infinity()
                          : std::numeric_limits<double>::quiet_NaN();
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

float value_of_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

int q6_k_quant(const std::byte* block, std::size_t i) {
  const std::size_t half = i / 128;
  const std::size_t group = i % 128 / 32;
  const unsigned low = byte_at(block + 64 * half + i % 64);
  const unsigned high = byte_at(block + 128 + 32 * half + i % 32);
  return static_cast<int>((group < 2 ? low & 15 : low >> 4) | (high >> (2 * group) & 3) << 4) - 32;
}

double value_in_block(TensorType type, const std::byte* block, std::size_t i) {
  switch (type) {
    case TensorType::kF32: return value_of_bits(half_at(block) | half_at(block + 2) << 16);
    case TensorType::kF16: return value_of_half(half_at(block));
    case TensorType::kBF16: return value_of_bits(static_cast<std::uint32_t>(half_at(block)) << 16);
    case TensorType::kQ4_0: {
      const unsigned quants = byte_at(block + 2 + i % 16);
      return value_of_half(half_at(block)) *
             (static_cast<int>(i < 16 ? quants & 15 : quants >> 4) - 8);
    }
    case TensorType::kQ8_0: return value_of_half(half_at(block)) * signed_at(block + 2 + i);
    default:
      return value_of_half(half_at(block + 208)) * signed_at(block + 192 + i / 16) *
             q6_k_quant(block, i);
  }
}

void require_same_block_again(TensorType type, const std::byte* block) {
  std::vector<std::byte> packed(block_bytes(type));
  if (type == TensorType::kF16 || type == TensorType::kBF16) {
    const std::uint16_t bits = half_at(block);
    const bool f16 = type == TensorType::kF16;
    const float value = f16 ? tern::f16_to_f32(bits) : tern::bf16_to_f32(bits);
    if (!std::isnan(value)) {
      require((f16 ? tern::f32_to_f16(value) : tern::f32_to_bf16(value)) == bits);
    }
  } else if (type == TensorType::kQ6_K) {
    std::array<std::int8_t, 256> quants;
    for (std::size_t i = 0; i < quants.size(); ++i) {
      quants[i] = static_cast<std::int8_t>(q6_k_quant(block, i));
    }
    const auto* scales = reinterpret_cast<const std::int8_t*>(block + 192);
    pack_q6_k(half_at(block + 208), scales, quants.data(), packed.data());
    require(std::memcmp(packed.data(), block, packed.size()) == 0);
  } else if (type == TensorType::kQ8_0) {
    pack_q8_0(half_at(block), reinterpret_cast<const std::int8_t*>(block + 2), packed.data());
    require(std::memcmp(packed.data(), block, packed.size()) == 0);
  }
}

// Half a step of the unrounded factor, and what the division, the multiplication and the rounding
// may add. Where the factor is no normal number the reference's reciprocal is none, either.
void require_quantises(const std::vector<float>& values) {
  const std::size_t columns = values.size() / 32 * 32;
  std::vector<std::byte> row(row_bytes(TensorType::kQ8_0, columns));
  quantize_row_q8_0(values.data(), columns, row.data());
  for (std::size_t begin = 0; begin < columns; begin += 32) {
    float largest = 0;
    for (std::size_t i = begin; i < begin + 32; ++i) {
      largest = std::fmax(largest, std::fabs(values[i]));
    }
    const std::byte* block = row.data() + begin / 32 * 34;
    const float d = largest / 127.0f;
    require(half_at(block) == tern::f32_to_f16(d));
    for (std::size_t i = 0; i < 32; ++i) {
      const double error = std::fabs(values[begin + i] - double{d} * signed_at(block + 2 + i));
      require(error <= (d < std::numeric_limits<float>::min() ? largest : 0.50001 * d));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array kTypes{TensorType::kF32,  TensorType::kF16,  TensorType::kBF16,
                              TensorType::kQ4_0, TensorType::kQ8_0, TensorType::kQ6_K};
  Input in(data, size);
  const TensorType type = kTypes[in.below(kTypes.size())];
  const std::size_t blocks = in.size() / block_bytes(type);
  if (blocks == 0) return 0;
  const std::vector<std::byte> row = in.copy(blocks * block_bytes(type));
  std::vector<float> values(blocks * block_elements(type));
  require(row_bytes(type, values.size()) == row.size());
  dequantize_row(type, row.data(), values.size(), values.data());
  bool finite = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::byte* block = row.data() + i / block_elements(type) * block_bytes(type);
    const auto expected = static_cast<float>(value_in_block(type, block, i % block_elements(type)));
    require(values[i] == expected || (std::isnan(values[i]) && std::isnan(expected)));
    finite = finite && std::isfinite(expected);
    if (i % block_elements(type) == 0) require_same_block_again(type, block);
  }
  if (finite) require_quantises(values);
  return 0;
}
