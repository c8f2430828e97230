// Ternary times int8 for many tokens: a panel of weights is unpacked while the first of them pass
// by, and stays in the nearest cache for all others.
#pragma once

#include "kernels/generic/ternary_block_body.h"

inline constexpr std::size_t kPanelMost = 64 / kBatchGroups;  // of 16 KiB, or a little more
inline constexpr std::size_t kPanelTiles =
    kPanelMost < kTilesPerDrain ? kPanelMost : kTilesPerDrain;
inline constexpr std::size_t kPanelQuads = kPanelTiles * (kFiveTrits ? 5 : 4);
inline constexpr std::size_t kStreamTokens = 24;
inline constexpr std::size_t kStoresAhead = 8;  // tokens whose outputs are asked for

template <int kGroups>
struct Panel {
  static constexpr int kVectors = kGroups * kVectorsPerGroup;
  const std::uint8_t* packed[kGroups];  // of each group of rows, the next tile
  std::size_t tiles;                    // of a group, from there on, that are unpacked
  const std::int8_t* values;            // of the first token, at the same columns
  Codes codes[kPanelQuads][kVectors];
  Wide sums[kChunkTokens][kVectors];
};

// narrow += a vector of codes of each group times a quad of each token.
template <int kVectors, int kTokens>
TERN_INLINE void multiply_quads(const Codes* codes, const std::int8_t* values, std::size_t stride,
                                Narrow (&narrow)[kVectors][kTokens]) {
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    const Quad quad = broadcast_quad(values + t * stride);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) narrow[v][t] = multiply_add(narrow[v][t], codes[v], quad);
  }
}

// sums[token + t] (+)= the panel's weights times the activations of the tokens.
template <Packing kPacking, int kGroups, int kTokens, bool kUnpack>
__attribute__((noinline)) void multiply_panel(const TernaryBlock& b, Panel<kGroups>& panel,
                                              std::size_t token, bool add) {
  constexpr int kVectors = Panel<kGroups>::kVectors;
  constexpr int kPlanes = kPacking == Packing::kFiveTrits ? 5 : 4;
  const std::int8_t* values = panel.values + token * b.x.stride;
  const std::size_t stride = b.x.stride;
  Narrow narrow[kVectors][kTokens];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) narrow[v][t] = narrow_zero();
  }
  for (std::size_t tile = 0; tile < panel.tiles; ++tile) {
#pragma GCC unroll 8
    for (int g = 0; g < kGroups && kUnpack; ++g) {
      fetch_weights(panel.packed[g] + tile * kTileBytes + b.read.prefetch_bytes, kSecondCache);
    }
#pragma GCC unroll 5
    for (int p = 0; p < kPlanes; ++p) {
      const std::size_t quad = tile * kPlanes + p;
      Codes codes[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        if (kUnpack) {
          const std::uint8_t* packed = panel.packed[v / kVectorsPerGroup];
          panel.codes[quad][v] = load_plane(
              packed + tile * kTileBytes + v % kVectorsPerGroup * kVectorBytes, p, kPacking);
        }
        codes[v] = panel.codes[quad][v];
      }
      multiply_quads(codes, values + quad * 4, stride, narrow);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      Wide& sum = panel.sums[token + t][v];
      sum = widen_add(add ? sum : wide_zero(), narrow[v][t]);
    }
  }
}

template <Packing kPacking, int kGroups, bool kUnpack, int kTokens = kBatchTokens>
TERN_INLINE void multiply_panel_by(const TernaryBlock& b, Panel<kGroups>& panel, std::size_t token,
                                   std::size_t tokens, bool add) {
  if constexpr (kTokens > 1) {
    if (tokens < kTokens) {
      multiply_panel_by<kPacking, kGroups, kUnpack, kTokens - 1>(b, panel, token, tokens, add);
      return;
    }
  }
  multiply_panel<kPacking, kGroups, kTokens, kUnpack>(b, panel, token, add);
}

template <int kGroups>
TERN_INLINE void store_panel(const TernaryBlock& b, const Panel<kGroups>& panel, std::size_t group,
                             std::size_t step, std::size_t token, std::size_t tokens) {
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::size_t of = token + t;
#pragma GCC unroll 8
    for (int v = 0; v < Panel<kGroups>::kVectors; ++v) {
      const std::size_t at = group + static_cast<std::size_t>(v / kVectorsPerGroup) * step;
      const std::size_t row = at * kTileRows + (v % kVectorsPerGroup) * kVectorRows;
      if (row >= b.rows) continue;
      __builtin_prefetch(b.y + (of + kStoresAhead) * b.y_stride + row, 1, 3);
      store_outputs(b.y + of * b.y_stride + row, b.rows - row, panel.sums[t][v], b.x.sums[of],
                    b.w.scale * b.x.scales[of]);
    }
  }
}

// `tokens` tokens, at most kChunkTokens, times `groups` groups of rows, `step` apart.
template <Packing kPacking, int kGroups>
__attribute__((noinline)) void ternary_panel(const TernaryBlock& b, std::size_t group,
                                             std::size_t step, std::size_t token,
                                             std::size_t tokens) {
  constexpr std::size_t kColumns = (kPacking == Packing::kFiveTrits ? 5 : 4) * 4;
  const std::size_t blocks = (tokens + kBatchTokens - 1) / kBatchTokens;
  Panel<kGroups> panel;
  for (std::size_t first = 0; first < b.w.tiles; first += kPanelTiles) {
    const std::size_t rest = b.w.tiles - first;
    panel.tiles = rest < kPanelTiles ? rest : kPanelTiles;
    panel.values = b.x.values + token * b.x.stride + first * kColumns;
    for (int g = 0; g < kGroups; ++g) {
      panel.packed[g] =
          b.w.codes +
          ((group + static_cast<std::size_t>(g) * step) * b.w.tiles + first) * kTileBytes;
    }
    std::size_t t = (tokens + blocks - 1) / blocks;
    multiply_panel_by<kPacking, kGroups, true>(b, panel, 0, t, first > 0);
    for (std::size_t left = blocks - 1; left > 0; --left) {
      const std::size_t end = tokens - tokens * (left - 1) / blocks;
      multiply_panel_by<kPacking, kGroups, false>(b, panel, t, end - t, first > 0);
      t = end;
    }
  }
  store_panel(b, panel, group, step, token, tokens);
}

// Chunks of tokens pass by the whole matrix, blocks of tokens by a panel, all about equally long.
// Few tokens pass faster than memory answers, so their panels are streams; many write to so many
// pages that neighbouring rows are better.
template <Packing kPacking>
TERN_INLINE void ternary_panels(const TernaryBlock& b, std::size_t groups, std::size_t tokens) {
  const std::size_t chunks = (tokens + kChunkTokens - 1) / kChunkTokens;
  const std::size_t panels = groups / kBatchGroups;
  const bool streams = tokens <= kStreamTokens;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    const std::size_t token = tokens * chunk / chunks;
    const std::size_t count = tokens * (chunk + 1) / chunks - token;
    for (std::size_t i = 0; i < panels; ++i) {
      ternary_panel<kPacking, kBatchGroups>(b, streams ? i : i * kBatchGroups, streams ? panels : 1,
                                            token, count);
    }
    for (std::size_t g = panels * kBatchGroups; g < groups; ++g) {
      ternary_panel<kPacking, 1>(b, g, 1, token, count);
    }
  }
}
