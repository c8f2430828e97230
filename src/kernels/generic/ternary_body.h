// Ternary times int8 over a tier's dot-product vocabulary. One vector of codes has four columns of
// kVectorRows rows, so each lane of an accumulator is an output: no sums across lanes.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr int kVectorsPerGroup = static_cast<int>(kTileRows) / kVectorRows;
inline constexpr std::size_t kVectorBytes = kVectorRows * 4;
inline constexpr int kBatchTokens = 4;
static_assert(kDecodeGroups == 1 || kDecodeGroups == 2 || kDecodeGroups == kMostStreams);
static_assert(kMostStreams * kVectorsPerGroup <= kMaxVectors);
static_assert(kBatchGroups * kVectorsPerGroup <= kMaxVectors);
static_assert(kDecodeChains <= kBatchTokens);

// A vector of outputs: y = f32(acc - sum) * factor. Codes are trits plus one, so the sum of the
// activations is taken off again.
TERN_INLINE void store_outputs(float* y, std::size_t rows, Wide acc, std::int32_t sum,
                               float factor) {
  const Vec outputs = scaled_difference(acc, sum, factor);
  static_assert(kVectorRows == kLanes);
  if (rows >= kVectorRows) {
    store(y, outputs);
    return;
  }
  float lanes[kLanes];
  store(lanes, outputs);
  for (std::size_t r = 0; r < rows; ++r) y[r] = lanes[r];
}

struct TernaryBlock {
  const TernaryTiles& w;
  std::size_t rows;
  const QuantizedRows& x;
  float* y;
  std::size_t y_stride;
  ReadPattern read;
};

TERN_INLINE ReadPattern pattern_of(const TernaryTiles& w) {
  if (w.read.streams != 0) return w.read;
  return {kDecodeGroups, kPrefetchBytes};
}

// `groups` groups of rows, `group_step` apart from `group` on, times `tokens` tokens from `token`
// on, over the whole width. Packing and counts are constants at each call, so the loops unroll and
// the accumulators live in registers.
TERN_INLINE void ternary_block(const TernaryBlock& b, Packing packing, std::size_t group,
                               std::size_t group_step, int groups, std::size_t token, int tokens) {
  const int vectors = groups * kVectorsPerGroup;
  const int planes = packing == Packing::kFiveTrits ? 5 : 4;
  // Sums of a vector: one a token, or for one token several that its planes take in turn, since a
  // sum waits for the last product before it takes the next.
  const int chains = tokens == 1 ? kDecodeChains : tokens;
  const std::uint8_t* codes[kMaxVectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const std::size_t at = group + static_cast<std::size_t>(v / kVectorsPerGroup) * group_step;
    codes[v] = b.w.codes + at * b.w.tiles * kTileBytes + (v % kVectorsPerGroup) * kVectorBytes;
  }
  const std::int8_t* values = b.x.values + token * b.x.stride;
  Wide wide[kMaxVectors][kBatchTokens];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 8
    for (int t = 0; t < tokens; ++t) wide[v][t] = wide_zero();
  }
  for (std::size_t first = 0; first < b.w.tiles; first += kTilesPerDrain) {
    const std::size_t left = b.w.tiles - first;
    const std::size_t last = first + (left < kTilesPerDrain ? left : kTilesPerDrain);
    Narrow narrow[kMaxVectors][kBatchTokens];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 8
      for (int c = 0; c < chains; ++c) narrow[v][c] = narrow_zero();
    }
    for (std::size_t tile = first; tile < last; ++tile) {
      if (tokens == 1) {
#pragma GCC unroll 8
        for (int g = 0; g < groups; ++g) {
          fetch_weights(codes[g * kVectorsPerGroup] + tile * kTileBytes + b.read.prefetch_bytes);
        }
      }
#pragma GCC unroll 5
      for (int p = 0; p < planes; ++p) {
        Codes plane[kMaxVectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
          plane[v] = load_plane(codes[v] + tile * kTileBytes, p, packing);
        }
#pragma GCC unroll 8
        for (int t = 0; t < tokens; ++t) {
          const Quad quad = broadcast_quad(values + t * b.x.stride + (tile * planes + p) * 4);
#pragma GCC unroll 8
          for (int v = 0; v < vectors; ++v) {
            Narrow& sum = narrow[v][tokens == 1 ? p % kDecodeChains : t];
            sum = multiply_add(sum, plane[v], quad);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 8
      for (int c = 0; c < chains; ++c) {
        Wide& sum = wide[v][tokens == 1 ? 0 : c];
        sum = widen_add(sum, narrow[v][c]);
      }
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const std::size_t at = group + static_cast<std::size_t>(v / kVectorsPerGroup) * group_step;
    const std::size_t row = at * kTileRows + (v % kVectorsPerGroup) * kVectorRows;
    if (row >= b.rows) continue;
#pragma GCC unroll 8
    for (int t = 0; t < tokens; ++t) {
      const std::size_t of = token + t;
      store_outputs(b.y + of * b.y_stride + row, b.rows - row, wide[v][t], b.x.sums[of],
                    b.w.scale * b.x.scales[of]);
    }
  }
}

// Neighbouring groups stay in cache while the tokens pass by.
TERN_INLINE void ternary_panel(const TernaryBlock& b, Packing packing, std::size_t group,
                               int groups, std::size_t tokens) {
  for (std::size_t t = 0; t < tokens; t += kBatchTokens) {
    switch (tokens - t) {
      case 1: ternary_block(b, packing, group, 1, groups, t, 1); break;
      case 2: ternary_block(b, packing, group, 1, groups, t, 2); break;
      case 3: ternary_block(b, packing, group, 1, groups, t, 3); break;
      default: ternary_block(b, packing, group, 1, groups, t, kBatchTokens);
    }
  }
}

// One token: as many streams as groups in turn. Returns how many groups are done; fewer than
// streams are left.
TERN_INLINE std::size_t ternary_streams(const TernaryBlock& b, Packing packing,
                                        std::size_t groups) {
  const std::size_t step = groups / b.read.streams;
  switch (b.read.streams) {
    case 1:
      for (std::size_t g = 0; g < step; ++g) ternary_block(b, packing, g, step, 1, 0, 1);
      break;
    case 2:
      for (std::size_t g = 0; g < step; ++g) ternary_block(b, packing, g, step, 2, 0, 1);
      break;
    default:
      for (std::size_t g = 0; g < step; ++g) ternary_block(b, packing, g, step, kMostStreams, 0, 1);
  }
  return step * b.read.streams;
}

TERN_INLINE void ternary_packed(const TernaryBlock& b, Packing packing, std::size_t tokens) {
  const std::size_t groups = (b.rows + kTileRows - 1) / kTileRows;
  std::size_t g = tokens == 1 ? ternary_streams(b, packing, groups) : 0;
  for (; g + kBatchGroups <= groups; g += kBatchGroups) {
    ternary_panel(b, packing, g, kBatchGroups, tokens);
  }
  for (; g < groups; ++g) ternary_panel(b, packing, g, 1, tokens);
}

[[maybe_unused]] void ternary_linear(const TernaryTiles& w, std::size_t rows,
                                     const QuantizedRows& x, std::size_t tokens, float* y,
                                     std::size_t y_stride) {
  const TernaryBlock b{w, rows, x, y, y_stride, pattern_of(w)};
  if (kFiveTrits && w.packing == Packing::kFiveTrits) {
    ternary_packed(b, Packing::kFiveTrits, tokens);
  } else {
    ternary_packed(b, Packing::kTwoBits, tokens);
  }
}

[[maybe_unused]] std::uint64_t multiply_accumulate_loop(std::uint64_t steps) {
  Narrow acc[kCeilingChains];
#pragma GCC unroll 32
  for (int i = 0; i < kCeilingChains; ++i) acc[i] = narrow_zero();
  alignas(64) const std::uint8_t bytes[kVectorBytes] = {1, 2, 3};
  const std::int8_t quad[4] = {1, -2, 3, -4};
  Codes codes = load_plane(bytes, 0, Packing::kTwoBits);
  const Quad values = broadcast_quad(quad);
  for (std::uint64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 32
    for (int i = 0; i < kCeilingChains; ++i) {
      forget(codes);
      acc[i] = multiply_add(acc[i], codes, values);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < kCeilingChains; ++i) consume(acc[i]);
  return steps * kCeilingChains * kVectorRows * 4;
}
