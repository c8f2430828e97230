// The AVX2 tier (with FMA and F16C). Integer kernels here, floating-point bodies in generic/.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "core/cpu_feature_bits.h"
#include "kernels/generic/constants.h"
#include "kernels/kernel_table.h"
#include "kernels/tables.h"

#define TERN_INLINE static inline __attribute__((always_inline))

namespace tern::kernels {
namespace {

#include "kernels/avx2/simd.h"
#include "kernels/generic/body.h"

TERN_INLINE __m256i load_bytes(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

TERN_INLINE std::int32_t horizontal_sum(__m256i v) {
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum);
}

// A code is 0 to 2 and |q| <= 127, so one maddubs lane is at most 508 in magnitude and 64 of them
// (16 blocks of 4 planes) stay within 16 bits.
inline constexpr std::size_t kBlocksPerDrain = 16;

// `row_count` rows times `token_count` tokens over the whole width. The counts are constants at
// each call, so the loops unroll and the accumulators live in registers.
TERN_INLINE void ternary_tile(const TernaryRows& w, std::size_t row, int row_count,
                              const QuantizedRows& x, std::size_t token, int token_count, float* y,
                              std::size_t y_stride) {
  const __m256i code_mask = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  const std::uint8_t* codes = w.codes + row * w.row_bytes;
  const std::int8_t* values = x.values + token * x.stride;
  __m256i wide[4][4];
  for (int r = 0; r < row_count; ++r) {
    for (int t = 0; t < token_count; ++t) wide[r][t] = _mm256_setzero_si256();
  }
  for (std::size_t first = 0; first < w.blocks; first += kBlocksPerDrain) {
    const std::size_t left = w.blocks - first;
    const std::size_t last = first + (left < kBlocksPerDrain ? left : kBlocksPerDrain);
    __m256i narrow[4][4];
    for (int r = 0; r < row_count; ++r) {
      for (int t = 0; t < token_count; ++t) narrow[r][t] = _mm256_setzero_si256();
    }
    for (std::size_t block = first; block < last; ++block) {
      for (int r = 0; r < row_count; ++r) {
        const __m256i packed = load_bytes(codes + r * w.row_bytes + block * kBlockBytes);
        const __m256i planes[4] = {_mm256_and_si256(_mm256_srli_epi16(packed, 6), code_mask),
                                   _mm256_and_si256(_mm256_srli_epi16(packed, 4), code_mask),
                                   _mm256_and_si256(_mm256_srli_epi16(packed, 2), code_mask),
                                   _mm256_and_si256(packed, code_mask)};
        for (int t = 0; t < token_count; ++t) {
          const std::int8_t* q = values + t * x.stride + block * kBlockValues;
          for (int p = 0; p < 4; ++p) {
            const __m256i product = _mm256_maddubs_epi16(planes[p], load_bytes(q + 32 * p));
            narrow[r][t] = _mm256_add_epi16(narrow[r][t], product);
          }
        }
      }
    }
    for (int r = 0; r < row_count; ++r) {
      for (int t = 0; t < token_count; ++t) {
        wide[r][t] = _mm256_add_epi32(wide[r][t], _mm256_madd_epi16(narrow[r][t], ones));
      }
    }
  }
  for (int t = 0; t < token_count; ++t) {
    const float factor = w.scale * x.scales[token + t];
    for (int r = 0; r < row_count; ++r) {
      // Codes are trits plus one: the sum of the activations is taken off again.
      const std::int32_t acc = horizontal_sum(wide[r][t]) - x.sums[token + t];
      y[(token + t) * y_stride + row + r] = static_cast<float>(acc) * factor;
    }
  }
}

void ternary_linear(const TernaryRows& w, std::size_t rows, const QuantizedRows& x,
                    std::size_t tokens, float* y, std::size_t y_stride) {
  std::size_t t = 0;
  for (; t + 4 <= tokens; t += 4) {  // four tokens share each unpacked row
    for (std::size_t r = 0; r < rows; ++r) ternary_tile(w, r, 1, x, t, 4, y, y_stride);
  }
  for (; t < tokens; ++t) {  // four rows in turn keep several streams of weights in flight
    std::size_t r = 0;
    for (; r + 4 <= rows; r += 4) ternary_tile(w, r, 4, x, t, 1, y, y_stride);
    for (; r < rows; ++r) ternary_tile(w, r, 1, x, t, 1, y, y_stride);
  }
}

TERN_INLINE std::uint32_t bits_of(float x) {
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_castps_si128(_mm_set_ss(x))));
}

// The largest bit pattern without sign.
TERN_INLINE std::uint32_t magnitude_of(const float* x, std::size_t n) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  __m256i largest = _mm256_setzero_si256();
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    largest = _mm256_max_epu32(largest, _mm256_and_si256(load_bytes(x + i), mask));
  }
  alignas(32) std::uint32_t lanes[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), largest);
  std::uint32_t magnitude = 0;
  for (int j = 0; j < kLanes; ++j) magnitude = lanes[j] > magnitude ? lanes[j] : magnitude;
  for (; i < n; ++i) {
    const std::uint32_t bits = bits_of(x[i]) & 0x7fffffffu;
    magnitude = bits > magnitude ? bits : magnitude;
  }
  return magnitude;
}

// Eight floats to int32 codes, nearest even.
TERN_INLINE __m256i codes_of(const float* x, Vec to_code) {
  return _mm256_cvtps_epi32(mul(load(x), to_code));
}

bool quantize(const float* x, std::size_t n, std::size_t padded, std::int8_t* q, float* d,
              std::int32_t* sum) {
  const std::uint32_t magnitude = magnitude_of(x, n);
  if (magnitude >= 0x7f800000u) return false;
  float m = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(magnitude))));
  m = m > kLeastMaximum ? m : kLeastMaximum;
  const float to_code = kCodeRange / m;
  const Vec to_codes = splat(to_code);
  __m256i total = _mm256_setzero_si256();
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packs work within halves
  std::size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m256i a = codes_of(x + i, to_codes);
    const __m256i b = codes_of(x + i + 8, to_codes);
    const __m256i c = codes_of(x + i + 16, to_codes);
    const __m256i e = codes_of(x + i + 24, to_codes);
    total =
        _mm256_add_epi32(total, _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, e)));
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, e));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q + i),
                        _mm256_permutevar8x32_epi32(packed, order));
  }
  std::int32_t rest = 0;
  for (; i < n; ++i) {
    const int code = _mm_cvtss_si32(_mm_set_ss(x[i] * to_code));
    q[i] = static_cast<std::int8_t>(code);
    rest += code;
  }
  for (; i < padded; ++i) q[i] = 0;
  *d = m / kCodeRange;
  *sum = horizontal_sum(total) + rest;
  return true;
}

bool store_f16(const float* x, std::size_t n, std::uint16_t* out, std::size_t out_stride) {
  std::uint32_t overflow = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t half = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
    out[i * out_stride] = half;
    overflow |= (half & 0x7c00u) == 0x7c00u ? 1u : 0u;
  }
  return overflow == 0;
}

}  // namespace

const KernelTable kAvx2Table{
    .name = "avx2",
    .required_features = kCpuAvx2 | kCpuFma | kCpuF16c,
    .ternary_linear = ternary_linear,
    .quantize = quantize,
    .rms_norm = rms_norm,
    .rope = rope,
    .add = add_to,
    .relu2_gate = relu2_gate,
    .silu_gate = silu_gate,
    .store_f16 = store_f16,
    .attention_chunk = attention_chunk,
    .attention_fold = attention_fold,
    .attention_output = attention_output,
    .dot_f32 = dot_f32,
    .dot_f16 = dot_f16,
    .dot_bf16 = dot_bf16,
};

}  // namespace tern::kernels
