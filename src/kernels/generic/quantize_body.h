// Quantisation and rounding to f16 over a tier's vector vocabulary.
#pragma once

#include "kernels/generic/float_body.h"

// The first n floats of a vector, the others zero: they change no maximum, code or sum.
TERN_INLINE Vec load_some(const float* x, std::size_t n) {
  float lanes[kLanes] = {};
  for (std::size_t i = 0; i < n; ++i) lanes[i] = x[i];
  return load(lanes);
}

bool quantize(const float* x, std::size_t n, std::size_t padded, std::int8_t* q, float* d,
              std::int32_t* sum) {
  const std::size_t whole = n - n % kLanes;
  Ints largest = magnitude_bits(load_some(x + whole, n - whole));
  for (std::size_t i = 0; i < whole; i += kLanes) {
    largest = max_unsigned(largest, magnitude_bits(load(x + i)));
  }
  std::uint32_t lanes[kLanes];
  store_ints(lanes, largest);
  std::uint32_t magnitude = 0;
  for (int j = 0; j < kLanes; ++j) magnitude = lanes[j] > magnitude ? lanes[j] : magnitude;
  if (magnitude >= 0x7f800000u) return false;  // a NaN or an infinity
  float m = __builtin_bit_cast(float, magnitude);
  m = m > kLeastMaximum ? m : kLeastMaximum;
  const Vec to_code = splat(kCodeRange / m);
  Ints total = zero_ints();
  for (std::size_t i = 0; i < whole; i += kLanes) {
    const Ints codes = nearest_ints(mul(load(x + i), to_code));
    total = add_ints(total, codes);
    store_codes(q + i, codes);
  }
  const Ints rest = nearest_ints(mul(load_some(x + whole, n - whole), to_code));
  total = add_ints(total, rest);
  std::int8_t last[kLanes];
  store_codes(last, rest);
  for (std::size_t i = whole; i < n; ++i) q[i] = last[i - whole];
  for (std::size_t i = n; i < padded; ++i) q[i] = 0;
  store_ints(lanes, total);
  std::uint32_t all = 0;
  for (int j = 0; j < kLanes; ++j) all += lanes[j];
  *d = m / kCodeRange;
  *sum = static_cast<std::int32_t>(all);
  return true;
}

bool store_f16(const float* x, std::size_t n, std::uint16_t* out, std::size_t out_stride) {
  std::uint32_t overflow = 0;
  for (std::size_t first = 0; first < n; first += kLanes) {
    const std::size_t count = n - first < kLanes ? n - first : kLanes;
    std::uint16_t halves[kLanes];
    store_halves(halves, count == kLanes ? load(x + first) : load_some(x + first, count));
    for (std::size_t j = 0; j < count; ++j) {
      out[(first + j) * out_stride] = halves[j];
      overflow |= (halves[j] & 0x7c00u) == 0x7c00u ? 1u : 0u;
    }
  }
  return overflow == 0;
}
