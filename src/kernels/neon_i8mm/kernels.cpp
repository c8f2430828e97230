// The Arm tier with the product of two by eight and eight by two bytes; the one to three
// tokens that are left over take the dot product of four bytes.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "core/cpu_feature_bits.h"
#include "kernels/generic/constants.h"
#include "kernels/kernel_table.h"
#include "kernels/tables.h"

#define TERN_INLINE static inline __attribute__((always_inline))

namespace tern::kernels {
namespace {

#include "kernels/neon/sdot.h"

inline constexpr int kBatchGroups = 1;
inline constexpr int kBatchTokens = 4;
inline constexpr std::size_t kChunkTokens = 128;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kDecodeChains = 1;
inline constexpr int kScanGroups = 2;
inline constexpr int kScanBlockGroups = 1;
inline constexpr int kScanQueries = 4;
inline constexpr int kMaxVectors = 16;
inline constexpr int kCeilingChains = 16;
inline constexpr std::size_t kPrefetchBytes = 1024;
inline constexpr bool kSecondCache = false;

#include "kernels/generic/absent_five_trits.h"
#include "kernels/generic/bodies.h"

constexpr int kPairs = 2;     // of tokens in turn
constexpr int kRowPairs = 8;  // of a group of rows
constexpr int kCeilingTiles = 16;

// One group of rows times 2 * kPairs tokens. A pair of planes is eight columns of four rows.
void group_times_pairs(const TernaryBlock& b, std::size_t group, std::size_t token) {
  const std::uint8_t* codes = b.w.codes + group * b.w.tiles * kTileBytes;
  const std::int8_t* values = b.x.values + token * b.x.stride;
  int32x4_t acc[kRowPairs][kPairs];
  for (auto& of_rows : acc) {
    for (int32x4_t& tile : of_rows) tile = vdupq_n_s32(0);
  }
  for (std::size_t tile = 0; tile < b.w.tiles; ++tile) {
    for (int half = 0; half < 2; ++half) {
      int8x16_t x[kPairs];
      for (int pair = 0; pair < kPairs; ++pair) {
        const std::int8_t* at = values + 2 * pair * b.x.stride + tile * kTwoBitColumns + 8 * half;
        x[pair] = vcombine_s8(vld1_s8(at), vld1_s8(at + b.x.stride));
      }
      for (int v = 0; v < kVectorsPerGroup; ++v) {
        const std::uint8_t* at = codes + tile * kTileBytes + v * kVectorBytes;
        const int32x4_t first = vreinterpretq_s32_s8(load_plane(at, 2 * half, Packing::kTwoBits));
        const int32x4_t second =
            vreinterpretq_s32_s8(load_plane(at, 2 * half + 1, Packing::kTwoBits));
        const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(first, second));
        const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(first, second));
        for (int pair = 0; pair < kPairs; ++pair) {
          acc[2 * v][pair] = vmmlaq_s32(acc[2 * v][pair], low, x[pair]);
          acc[2 * v + 1][pair] = vmmlaq_s32(acc[2 * v + 1][pair], high, x[pair]);
        }
      }
    }
  }
  for (int v = 0; v < kVectorsPerGroup; ++v) {
    const std::size_t row = group * kTileRows + v * kVectorRows;
    if (row >= b.rows) return;
    for (int pair = 0; pair < kPairs; ++pair) {
      const std::size_t t = token + 2 * pair;
      const int32x4_t low = acc[2 * v][pair];
      const int32x4_t high = acc[2 * v + 1][pair];
      store_outputs(b.y + t * b.y_stride + row, b.rows - row, vuzp1q_s32(low, high), b.x.sums[t],
                    b.w.scale * b.x.scales[t]);
      store_outputs(b.y + (t + 1) * b.y_stride + row, b.rows - row, vuzp2q_s32(low, high),
                    b.x.sums[t + 1], b.w.scale * b.x.scales[t + 1]);
    }
  }
}

void linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x, std::size_t tokens,
            float* y, std::size_t y_stride) {
  const TernaryBlock b{w, rows, x, y, y_stride, pattern_of(w)};
  const std::size_t paired = tokens - tokens % (2 * kPairs);
  const std::size_t groups = paired == 0 ? 0 : (rows + kTileRows - 1) / kTileRows;
  for (std::size_t group = 0; group < groups; ++group) {
    for (std::size_t t = 0; t < paired; t += 2 * kPairs) group_times_pairs(b, group, t);
  }
  if (paired == tokens) return;
  const QuantizedRows rest{x.values + paired * x.stride, x.stride, x.scales + paired,
                           x.sums + paired};
  ternary_linear(w, rows, rest, tokens - paired, y + paired * y_stride, y_stride);
}

std::uint64_t ceiling_loop(std::uint64_t steps) {
  int32x4_t acc[kCeilingTiles];
  for (int32x4_t& tile : acc) tile = vdupq_n_s32(0);
  int8x16_t codes = vdupq_n_s8(2);
  const int8x16_t values = vdupq_n_s8(-3);
  for (std::uint64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kCeilingTiles; ++i) {
      forget(codes);
      acc[i] = vmmlaq_s32(acc[i], codes, values);
    }
  }
  for (const int32x4_t& tile : acc) consume(tile);
  return steps * kCeilingTiles * 32;
}

}  // namespace

const KernelTable kNeonI8mmTable =
    tier_table("neon-i8mm", kCpuDotprod | kCpuI8mm, linear, ceiling_loop);

}  // namespace tern::kernels
