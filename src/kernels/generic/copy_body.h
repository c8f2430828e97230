// Rows of a head on their way into its int8 copy. Sums of squares are in f64, eight at a time.
#pragma once

#include "kernels/generic/quantize_body.h"

inline constexpr std::size_t kSquares = 8;
inline constexpr std::uint32_t kFourZeroCodes = 0x80808080u;  // code 128, four times

void widen_f16(const std::uint16_t* halves, std::size_t n, float* x) {
  const std::size_t whole = n - n % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) store(x + i, load_f16(halves + i));
  for (std::size_t i = whole; i < n; ++i) x[i] = f16_value(halves[i]);
}

TERN_INLINE double square_of(double x) { return x * x; }

double row_squares(const float* x, std::size_t n, float* largest) {
  Ints magnitudes = zero_ints();
  const std::size_t whole = n - n % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    magnitudes = max_unsigned(magnitudes, magnitude_bits(load(x + i)));
  }
  magnitudes = max_unsigned(magnitudes, magnitude_bits(load_some(x + whole, n - whole)));
  std::uint32_t lanes[kLanes];
  store_ints(lanes, magnitudes);
  std::uint32_t magnitude = 0;
  for (int j = 0; j < kLanes; ++j) magnitude = lanes[j] > magnitude ? lanes[j] : magnitude;
  *largest = __builtin_bit_cast(float, magnitude);

  Doubles sums = zero_doubles();
  const std::size_t eights = n - n % kSquares;
  for (std::size_t i = 0; i < eights; i += kSquares) sums = add_squares(sums, load_doubles(x + i));
  double parts[kSquares];
  store_doubles(parts, sums);
  for (std::size_t i = eights; i < n; ++i) parts[0] += square_of(x[i]);
  double sum = 0.0;
  for (std::size_t j = 0; j < kSquares; ++j) sum += parts[j];
  return sum;
}

// The codes of kLanes columns into the tiles of the row. `columns` of them are wanted.
TERN_INLINE void store_copy(Ints codes, std::size_t columns, std::uint8_t* to) {
  std::int8_t bytes[kLanes];
  store_codes(bytes, codes);
  for (std::size_t c = 0; c < columns; c += kScanColumns) {
    std::uint32_t four;
    __builtin_memcpy(&four, bytes + c, sizeof four);
    four ^= kFourZeroCodes;
    __builtin_memcpy(to + c / kScanColumns * kScanTileBytes, &four, sizeof four);
  }
}

double round_row(const float* x, std::size_t n, float to_code, float scale, std::uint8_t* to) {
  const Vec factor = splat(to_code);
  constexpr std::size_t kStep = kLanes > static_cast<int>(kSquares) ? kLanes : kSquares;
  float rounded[kStep];
  Doubles sums = zero_doubles();
  const std::size_t whole = n - n % kStep;
  for (std::size_t i = 0; i < whole; i += kStep) {
    for (std::size_t j = 0; j < kStep; j += kLanes) {
      const Ints codes = nearest_ints(mul(load(x + i + j), factor));
      store(rounded + j, to_floats(codes));
      store_copy(codes, kLanes, to + (i + j) / kScanColumns * kScanTileBytes);
    }
    for (std::size_t j = 0; j < kStep; j += kSquares) {
      const Doubles off = less_scaled(load_doubles(x + i + j), load_doubles(rounded + j), scale);
      sums = add_squares(sums, off);
    }
  }
  // What is left: eights go on as above, the last few into the first sum.
  double parts[kSquares];
  store_doubles(parts, sums);
  const std::size_t eights = n - n % kSquares;
  for (std::size_t i = whole; i < n; i += kLanes) {
    const std::size_t count = n - i < kLanes ? n - i : kLanes;
    const Ints codes = nearest_ints(mul(load_some(x + i, count), factor));
    store(rounded, to_floats(codes));
    store_copy(codes, count, to + i / kScanColumns * kScanTileBytes);
    for (std::size_t j = 0; j < count; ++j) {
      const double off = static_cast<double>(x[i + j]) -
                         static_cast<double>(scale) * static_cast<double>(rounded[j]);
      parts[i + j < eights ? (i + j) % kSquares : 0] += square_of(off);
    }
  }
  double sum = 0.0;
  for (std::size_t j = 0; j < kSquares; ++j) sum += parts[j];
  return sum;
}
