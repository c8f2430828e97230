// Ternary times int8 over a tier's dot-product vocabulary: some rows times some tokens in
// registers. One vector of codes has four columns of kVectorRows rows, so each lane of an
// accumulator is an output: no sums across lanes.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr int kVectorsPerGroup = static_cast<int>(kTileRows) / kVectorRows;
inline constexpr std::size_t kVectorBytes = kVectorRows * 4;
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
  return {kDecodeGroups, kPrefetchBytes, kSecondCache};
}

// Which of its kDecodeChains sums a vector adds a plane to, of one token: they take turns, but the
// first plane of five trits is scaled and has the last one for itself.
constexpr int chain_of(Packing packing, int plane) {
  if (packing == Packing::kTwoBits) return plane % kDecodeChains;
  constexpr int kOthers = kFiveTrits ? kDecodeChains - 1 : 1;
  return plane == 0 ? kDecodeChains - 1 : plane % kOthers;
}

// What a vector's sums came to, of one token or of several.
TERN_INLINE void drain_chains(const Narrow* narrow, Packing packing, int tokens, Wide* wide) {
  if (tokens > 1) {
#pragma GCC unroll 8
    for (int t = 0; t < tokens; ++t) wide[t] = widen_add(wide[t], narrow[t]);
    return;
  }
#pragma GCC unroll 8
  for (int c = 0; c < kDecodeChains; ++c) {
    if (packing == Packing::kFiveTrits && c == chain_of(packing, 0)) {
      wide[0] = add_ints(wide[0], unscaled(widen_add(wide_zero(), narrow[c])));
    } else {
      wide[0] = widen_add(wide[0], narrow[c]);
    }
  }
}

// The outputs of a vector of rows from `row` on, of some tokens.
TERN_INLINE void store_vector(const TernaryBlock& b, std::size_t row, int tokens,
                              const Wide* wide) {
  if (row >= b.rows) return;
#pragma GCC unroll 8
  for (int t = 0; t < tokens; ++t) {
    store_outputs(b.y + t * b.y_stride + row, b.rows - row, wide[t], b.x.sums[t],
                  b.w.scale * b.x.scales[t]);
  }
}

// `groups` groups of rows, `group_step` apart from `group` on, times `tokens` tokens, over the
// whole width. All but where the groups lie are constants at each call, so the loops unroll and the
// accumulators live in registers.
TERN_INLINE void ternary_block(const TernaryBlock& b, Packing packing, std::size_t group,
                               std::size_t group_step, int groups, int tokens,
                               bool second_cache = kSecondCache) {
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
#pragma GCC unroll 8
      for (int g = 0; g < groups; ++g) {
        fetch_weights(codes[g * kVectorsPerGroup] + tile * kTileBytes + b.read.prefetch_bytes,
                      second_cache);
      }
#pragma GCC unroll 5
      for (int p = 0; p < planes; ++p) {
        Codes plane[kMaxVectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
          const std::uint8_t* at = codes[v] + tile * kTileBytes;
          plane[v] = tokens == 1 ? load_plane_of_one(at, p, packing) : load_plane(at, p, packing);
        }
#pragma GCC unroll 8
        for (int t = 0; t < tokens; ++t) {
          const Quad quad = broadcast_quad(b.x.values + t * b.x.stride + (tile * planes + p) * 4);
#pragma GCC unroll 8
          for (int v = 0; v < vectors; ++v) {
            Narrow& sum = narrow[v][tokens == 1 ? chain_of(packing, p) : t];
            sum = multiply_add(sum, plane[v], quad);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) drain_chains(narrow[v], packing, tokens, wide[v]);
  }
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const std::size_t at = group + static_cast<std::size_t>(v / kVectorsPerGroup) * group_step;
    store_vector(b, at * kTileRows + (v % kVectorsPerGroup) * kVectorRows, tokens, wide[v]);
  }
}
