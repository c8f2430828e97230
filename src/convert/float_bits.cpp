#include "convert/float_bits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/float16.h"

namespace tern::convert {
namespace {

using format::SafetensorsType;

// A type's bits: `Bits` holds them, `kSign` is the sign's.
struct F32 {
  using Bits = std::uint32_t;
  static constexpr Bits kSign = 0x80000000u;
  static constexpr Bits kInfinity = 0x7f800000u;
  static float value(Bits bits) { return std::bit_cast<float>(bits); }
};
struct BF16 {
  using Bits = std::uint16_t;
  static constexpr Bits kSign = 0x8000u;
  static constexpr Bits kInfinity = 0x7f80u;
  static float value(Bits bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};
struct F16 {
  using Bits = std::uint16_t;
  static constexpr Bits kSign = 0x8000u;
  static constexpr Bits kInfinity = 0x7c00u;
  // The exponents of f16 and f32 differ by a factor that no finite value feels; those of infinities
  // and NaN become large numbers, which callers look for.
  static float value(Bits bits) {
    const std::uint32_t wide = (std::uint32_t{bits} & 0x7fffu) << 13;
    const float magnitude = std::bit_cast<float>(wide) * 0x1p112f;
    return (bits & kSign) != 0 ? -magnitude : magnitude;
  }
};

// Calls `act` with the type's traits.
template <typename Act>
auto with_type(SafetensorsType type, Act act) {
  if (type == SafetensorsType::kF32) return act(F32{});
  if (type == SafetensorsType::kF16) return act(F16{});
  return act(BF16{});
}

template <typename Type>
typename Type::Bits load(const std::byte* values, std::size_t i) {
  typename Type::Bits bits;
  std::memcpy(&bits, values + i * sizeof bits, sizeof bits);
  return bits;
}

template <typename Type>
std::uint32_t magnitude_of(typename Type::Bits bits) {
  return static_cast<std::uint32_t>(bits & static_cast<typename Type::Bits>(~Type::kSign));
}

// Eight partial sums that stay in registers.
template <typename Type>
double sum(const std::byte* values, std::size_t count) {
  std::array<double, 8> lanes{};
  std::uint32_t largest = 0;
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) {
      const std::uint32_t bits = magnitude_of<Type>(load<Type>(values, i + lane));
      largest = std::max(largest, bits);
      lanes[lane] += static_cast<double>(Type::value(static_cast<typename Type::Bits>(bits)));
    }
  }
  for (; i < count; ++i) {
    const std::uint32_t bits = magnitude_of<Type>(load<Type>(values, i));
    largest = std::max(largest, bits);
    lanes[i % 8] += static_cast<double>(Type::value(static_cast<typename Type::Bits>(bits)));
  }
  if (largest >= Type::kInfinity) return std::nan("");
  for (std::size_t half = 4; half != 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

}  // namespace

bool is_float(SafetensorsType type) {
  return type == SafetensorsType::kF32 || type == SafetensorsType::kF16 ||
         type == SafetensorsType::kBF16;
}

void widen(SafetensorsType type, const std::byte* values, std::size_t count, float* out) {
  if (type == SafetensorsType::kF32) {
    std::memcpy(out, values, count * sizeof(float));
    return;
  }
  const bool half = type == SafetensorsType::kF16;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t bits = load<BF16>(values, i);
    out[i] = half ? f16_to_f32(bits) : bf16_to_f32(bits);
  }
}

double sum_of_magnitudes(SafetensorsType type, const std::byte* values, std::size_t count) {
  return with_type(type, [&](auto t) { return sum<decltype(t)>(values, count); });
}

std::uint32_t first_magnitude(SafetensorsType type, const std::byte* values, std::size_t count) {
  return with_type(type, [&](auto t) {
    using Type = decltype(t);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t bits = magnitude_of<Type>(load<Type>(values, i));
      if (bits != 0) return bits;
    }
    return std::uint32_t{0};
  });
}

float magnitude_value(SafetensorsType type, std::uint32_t bits) {
  if (type == SafetensorsType::kF32) return std::bit_cast<float>(bits);
  const auto narrow = static_cast<std::uint16_t>(bits);
  return type == SafetensorsType::kF16 ? f16_to_f32(narrow) : bf16_to_f32(narrow);
}

// round(w * s) does not fall as w grows, so the border is found by halving.
std::uint32_t largest_zero(SafetensorsType type, float scale) {
  const float s = 1.0f / scale;
  std::uint32_t low = 0;  // becomes zero
  std::uint32_t high =
      with_type(type, [](auto t) { return std::uint32_t{decltype(t)::kInfinity}; });
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (magnitude_value(type, middle) * s <= 0.5f) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

void trits_above(SafetensorsType type, const std::byte* values, std::size_t count,
                 std::uint32_t zero, std::int8_t* trits) {
  with_type(type, [&](auto t) {
    using Type = decltype(t);
    const auto border = static_cast<typename Type::Bits>(zero);
    for (std::size_t i = 0; i < count; ++i) {
      const typename Type::Bits bits = load<Type>(values, i);
      const int sign = (bits & Type::kSign) != 0 ? -1 : 1;
      trits[i] = static_cast<std::int8_t>(magnitude_of<Type>(bits) > border ? sign : 0);
    }
  });
}

std::size_t trits_of(SafetensorsType type, const std::byte* values, std::size_t count,
                     std::uint32_t magnitude, std::int8_t* trits) {
  return with_type(type, [&](auto t) {
    using Type = decltype(t);
    std::size_t others = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const typename Type::Bits bits = load<Type>(values, i);
      const std::uint32_t found = magnitude_of<Type>(bits);
      const int sign = (bits & Type::kSign) != 0 ? -1 : 1;
      others += found != 0 && found != magnitude ? 1 : 0;
      trits[i] = static_cast<std::int8_t>(found != 0 ? sign : 0);
    }
    return others;
  });
}

void unpack_quarter(const std::byte* packed, std::size_t count, unsigned quarter,
                    std::int8_t* trits) {
  const unsigned shift = 2 * quarter;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned code = (std::to_integer<unsigned>(packed[i]) >> shift) & 3u;
    trits[i] = static_cast<std::int8_t>(static_cast<int>(code) - 1);
  }
}

bool has_code_3(std::span<const std::byte> packed) {
  unsigned both = 0;
  for (const std::byte byte : packed) {
    const auto bits = std::to_integer<unsigned>(byte);
    both |= bits & (bits >> 1) & 0x55u;
  }
  return both != 0;
}

}  // namespace tern::convert
