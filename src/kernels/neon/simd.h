// The 128-bit Arm vector vocabulary of generic/bodies.h, without the accumulating dot product.
// Included inside an anonymous namespace.
#pragma once

inline constexpr int kLanes = 4;
inline constexpr int kDotRows = 1;
inline constexpr int kChains = 16;
inline constexpr int kTogether = 8;
inline constexpr int kManyChains = kChains;
inline constexpr int kValueQueries = kTogether;
using Vec = float32x4_t;

TERN_INLINE Vec load(const float* p) { return vld1q_f32(p); }
TERN_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
TERN_INLINE Vec splat(float x) { return vdupq_n_f32(x); }
TERN_INLINE Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
TERN_INLINE Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
TERN_INLINE Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
TERN_INLINE Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
TERN_INLINE Vec fmadd(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
TERN_INLINE Vec rint(Vec a) { return vrndnq_f32(a); }

// a < b ? x : y
TERN_INLINE Vec where_less(Vec a, Vec b, Vec x, Vec y) { return vbslq_f32(vcltq_f32(a, b), x, y); }

// a < b ? b : a
TERN_INLINE Vec larger(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a, b), b, a); }

// a > 0 ? a : +0
TERN_INLINE Vec relu(Vec a) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vcgtzq_f32(a)));
}

// a * 2^n for integral n in [-126, 128], in two steps so that both factors are normal.
TERN_INLINE Vec pow2_mul(Vec a, Vec n) {
  const int32x4_t whole = vcvtq_s32_f32(n);
  const int32x4_t half = vshrq_n_s32(whole, 1);
  const int32x4_t rest = vsubq_s32(whole, half);
  const int32x4_t bias = vdupq_n_s32(127);
  const Vec first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
  const Vec second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
  return mul(mul(a, first), second);
}

TERN_INLINE Vec load_f16(const std::uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
TERN_INLINE Vec load_bf16(const std::uint16_t* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
TERN_INLINE Vec load_i8(const std::int8_t* p) {
  std::int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  const int16x8_t words = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)));
}
TERN_INLINE void store_halves(std::uint16_t* p, Vec v) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}

// Lanes from kWidth on, kWidth of them, as the first ones.
template <int kWidth>
TERN_INLINE Vec lanes_from(Vec v) {
  return vextq_f32(v, v, kWidth);
}
TERN_INLINE float first_lane(Vec v) { return vgetq_lane_f32(v, 0); }

TERN_INLINE float f16_value(std::uint16_t half) {
  return static_cast<float>(__builtin_bit_cast(__fp16, half));
}
TERN_INLINE float bf16_value(std::uint16_t brain) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(brain) << 16);
}
TERN_INLINE float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
TERN_INLINE float sqrt1(float a) { return __builtin_sqrtf(a); }

struct Doubles {
  float64x2_t pairs[4];
};

TERN_INLINE Doubles zero_doubles() {
  const float64x2_t zero = vdupq_n_f64(0.0);
  return {{zero, zero, zero, zero}};
}
TERN_INLINE Doubles load_doubles(const float* p) {
  const float32x4_t low = vld1q_f32(p);
  const float32x4_t high = vld1q_f32(p + 4);
  return {{vcvt_f64_f32(vget_low_f32(low)), vcvt_high_f64_f32(low),
           vcvt_f64_f32(vget_low_f32(high)), vcvt_high_f64_f32(high)}};
}
TERN_INLINE void store_doubles(double* p, Doubles v) {
  for (int i = 0; i < 4; ++i) vst1q_f64(p + 2 * i, v.pairs[i]);
}
TERN_INLINE Doubles add_squares(Doubles sums, Doubles v) {
  for (int i = 0; i < 4; ++i) {
    sums.pairs[i] = vaddq_f64(sums.pairs[i], vmulq_f64(v.pairs[i], v.pairs[i]));
  }
  return sums;
}
TERN_INLINE Doubles less_scaled(Doubles a, Doubles b, double scale) {
  for (int i = 0; i < 4; ++i) {
    a.pairs[i] = vsubq_f64(a.pairs[i], vmulq_n_f64(b.pairs[i], scale));
  }
  return a;
}

using Ints = int32x4_t;

TERN_INLINE Ints zero_ints() { return vdupq_n_s32(0); }
TERN_INLINE Ints add_ints(Ints a, Ints b) { return vaddq_s32(a, b); }
TERN_INLINE Ints max_unsigned(Ints a, Ints b) {
  return vreinterpretq_s32_u32(vmaxq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}
TERN_INLINE void store_ints(std::uint32_t* p, Ints v) { vst1q_u32(p, vreinterpretq_u32_s32(v)); }
TERN_INLINE Ints nearest_ints(Vec v) { return vcvtnq_s32_f32(v); }
TERN_INLINE Ints magnitude_bits(Vec v) {
  return vandq_s32(vreinterpretq_s32_f32(v), vdupq_n_s32(0x7fffffff));
}
TERN_INLINE void store_codes(std::int8_t* q, Ints v) {
  const int16x4_t words = vqmovn_s32(v);
  const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
  const std::int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
  __builtin_memcpy(q, &four, sizeof four);
}

TERN_INLINE Ints splat_ints(std::int32_t x) { return vdupq_n_s32(x); }
TERN_INLINE Vec to_floats(Ints v) { return vcvtq_f32_s32(v); }
TERN_INLINE Ints bits(Vec v) { return vreinterpretq_s32_f32(v); }
TERN_INLINE Vec from_bits(Ints v) { return vreinterpretq_f32_s32(v); }
TERN_INLINE void store_digits(std::int8_t* high, std::int8_t* low, const Ints* v) {
  const int16x8_t mask = vdupq_n_s16((1 << kDigitBits) - 1);
  for (int i = 0; i < 8; ++i, v += 2, high += 8, low += 8) {
    const int16x8_t words = vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1]));
    vst1_s8(high, vshrn_n_s16(words, kDigitBits));
    vst1_s8(low, vmovn_s16(vandq_s16(words, mask)));
  }
}
TERN_INLINE void pin(Ints& v) { __asm__("" : "+w"(v)); }
TERN_INLINE Ints join_digits(Ints high, Ints low) {
  return vaddq_s32(vshlq_n_s32(high, kDigitBits), low);
}

using Codes = int8x16_t;
using Quad = int8x16_t;
using Wide = int32x4_t;

inline constexpr int kVectorRows = 4;

TERN_INLINE Codes load_plane(const std::uint8_t* p, int plane, Packing) {
  const uint8x16_t mask = vdupq_n_u8(3);
  const uint8x16_t packed = vld1q_u8(p);
  switch (plane) {
    case 0: return vreinterpretq_s8_u8(vandq_u8(packed, mask));
    case 1: return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 2), mask));
    case 2: return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 4), mask));
    default: return vreinterpretq_s8_u8(vshrq_n_u8(packed, 6));
  }
}
TERN_INLINE Quad broadcast_quad(const std::int8_t* q) {
  std::int32_t four;
  __builtin_memcpy(&four, q, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
inline constexpr std::int32_t kKeyBias = 0;
TERN_INLINE Codes load_values(const std::int8_t* p) { return vld1q_s8(p); }
TERN_INLINE Codes load_keys(const std::int8_t* p) { return vld1q_s8(p); }
TERN_INLINE void forget(Codes& v) { __asm__("" : "+w"(v)); }
TERN_INLINE Wide wide_zero() { return vdupq_n_s32(0); }
TERN_INLINE Vec scaled_difference(Wide acc, std::int32_t sum, float factor) {
  return mul(vcvtq_f32_s32(vsubq_s32(acc, vdupq_n_s32(sum))), splat(factor));
}

using Bytes = int8x16_t;
using DigitQuad = int8x16_t;

inline constexpr std::uint32_t kByteOffset = 0;  // load_bytes takes it off

TERN_INLINE Bytes load_bytes(const std::uint8_t* p) {
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(128)));
}
TERN_INLINE DigitQuad digit_quad(const std::int8_t* digits) { return broadcast_quad(digits); }
