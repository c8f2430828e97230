// Ternary times int8 on tile registers of 16 rows by 64 bytes ("tmm"), for many tokens.
//
// Included, as bodies.h is, inside an anonymous namespace behind TERN_INLINE and a vocabulary:
// configure_tmm(rows) gives the registers below kFirstCodes so many rows, the others 16, and clears
// all; release_tmm(); zero_tmm<T>(), load_tmm<T>(from, stride), store_tmm<T>(to, stride);
// dot_tmm<C, A, B>(): the int32 C[t][r] += A[t][4k + i] * B[k][4r + i] over k and i, A signed and B
// unsigned; unpack_plane(tile, plane, packing, to): the codes 0 to 2 of four columns of 16 rows;
// write_sums(sums, sum, factor, rows, y): y[r] = f32(sums[r] - sum) * factor.
// tests/conformance/tmm_test.cpp has a portable one, so that every CPU tests this file.
//
// A plane of packed trits, unpacked, is what B takes, and rows of activations are what A takes: no
// other order is needed. Weights are unpacked once for as many tokens as there are, into a panel of
// 32 rows by 1024 columns at most, which stays in the nearest cache while activations come from the
// next one.
#pragma once

inline constexpr std::size_t kTmmBytes = kTmmRows * kTmmRowBytes;
inline constexpr int kTmmGroups = 2;  // of rows, times two of tokens: four sums in registers
inline constexpr std::size_t kTmmSteps = 16;         // of 64 columns
inline constexpr std::size_t kTmmChunkTokens = 512;  // whose sums stay in the second cache
static_assert(kTileRows == kTmmRows && kTileBytes == kTmmRowBytes);
static_assert(kTmmChunkTokens % (2 * kTmmRows) == 0);  // a last tile by itself has sums of another

struct TmmPanel {
  alignas(64) std::uint8_t codes[kTmmGroups][kTmmSteps][kTmmBytes];
  alignas(64) std::int32_t sums[kTmmChunkTokens / kTmmRows][kTmmGroups][kTmmRows][kTileRows];
};

// Tokens from `first` on, `count` of them.
struct TmmTokens {
  const QuantizedRows& x;
  std::size_t first;
  std::size_t count;

  std::size_t tiles() const { return (count + kTmmRows - 1) / kTmmRows; }
  std::size_t rows() const { return count < kTmmRows ? count : kTmmRows; }  // of a tile
  // Of 16 tokens each: the last overlaps the one before instead of reading beyond the last token.
  std::size_t start(std::size_t tile) const {
    const std::size_t at = tile * kTmmRows;
    const std::size_t last = count < kTmmRows ? 0 : count - kTmmRows;
    return first + (at < last ? at : last);
  }
};

// Tiles [first, first + tiles) of neighbouring groups of rows. Returns the steps of 64 columns; the
// last is filled with codes 0, which add nothing whatever the activations are.
TERN_INLINE std::size_t unpack_panel(const TernaryTiles& w, Packing packing,
                                     std::size_t prefetch_bytes, std::size_t group, int groups,
                                     std::size_t first, std::size_t tiles, TmmPanel& panel) {
  const int planes = packing == Packing::kFiveTrits ? 5 : 4;
  const std::size_t quads = tiles * static_cast<std::size_t>(planes);
  const std::size_t steps = (quads + kTmmRows - 1) / kTmmRows;
  for (int g = 0; g < groups; ++g) {
    const std::uint8_t* packed = w.codes + ((group + g) * w.tiles + first) * kTileBytes;
    std::uint8_t* codes = panel.codes[g][0];
    for (std::size_t tile = 0; tile < tiles; ++tile, packed += kTileBytes) {
      __builtin_prefetch(packed + prefetch_bytes, 0, 0);
#pragma GCC unroll 5
      for (int p = 0; p < planes; ++p, codes += kTmmRowBytes) {
        unpack_plane(packed, p, packing, codes);
      }
    }
    const std::uint8_t* end = panel.codes[g][0] + steps * kTmmBytes;
    for (; codes < end; ++codes) *codes = 0;
  }
  return steps;
}

// Sums of two tiles of tokens from `tile` on, or of one, and one or two groups of rows, over the
// columns of a panel. A product takes 16 cycles and is there after 52 (Intel's optimisation
// manual), so four sums go on at once: one tile takes every second step to the sums that the other
// would have, until fold_tmm() brings them together.
template <int kTiles, int kGroups>
TERN_INLINE void multiply_tmm(const TmmTokens& tokens, std::size_t tile, std::size_t column,
                              std::size_t steps, bool add, TmmPanel& panel) {
  const std::size_t stride = tokens.x.stride;
  const std::int8_t* x0 = tokens.x.values + tokens.start(tile) * stride + column;
  const std::int8_t* x1 = tokens.x.values + tokens.start(tile + kTiles - 1) * stride + column;
  auto& sums = panel.sums;
  constexpr std::size_t kSumBytes = kTileRows * sizeof(std::int32_t);
  zero_tmm<0>();
  zero_tmm<2>();
  if constexpr (kGroups > 1) zero_tmm<1>();
  if constexpr (kGroups > 1) zero_tmm<3>();
  if (add) {
    load_tmm<0>(sums[tile][0], kSumBytes);
    load_tmm<2>(sums[tile + 1][0], kSumBytes);
    if constexpr (kGroups > 1) load_tmm<1>(sums[tile][1], kSumBytes);
    if constexpr (kGroups > 1) load_tmm<3>(sums[tile + 1][1], kSumBytes);
  }
  for (std::size_t step = 0; step < steps; ++step) {
    load_tmm<kFirstCodes>(panel.codes[0][step], kTmmRowBytes);
    if constexpr (kGroups > 1) load_tmm<kFirstCodes + 1>(panel.codes[1][step], kTmmRowBytes);
    if (kTiles > 1 || step % 2 == 0) {
      load_tmm<4>(x0 + step * kTmmRowBytes, stride);
      dot_tmm<0, 4, kFirstCodes>();
      if constexpr (kGroups > 1) dot_tmm<1, 4, kFirstCodes + 1>();
    }
    if (kTiles > 1 || step % 2 == 1) {
      load_tmm<5>(x1 + step * kTmmRowBytes, stride);
      dot_tmm<2, 5, kFirstCodes>();
      if constexpr (kGroups > 1) dot_tmm<3, 5, kFirstCodes + 1>();
    }
  }
  store_tmm<0>(sums[tile][0], kSumBytes);
  store_tmm<2>(sums[tile + 1][0], kSumBytes);
  if constexpr (kGroups > 1) store_tmm<1>(sums[tile][1], kSumBytes);
  if constexpr (kGroups > 1) store_tmm<3>(sums[tile + 1][1], kSumBytes);
}

// Of the last tile of tokens, which has no other, and of which there are `rows`.
TERN_INLINE void fold_tmm(std::size_t tile, std::size_t rows, int groups, TmmPanel& panel) {
  for (int g = 0; g < groups; ++g) {
    for (std::size_t t = 0; t < rows; ++t) {
      for (std::size_t r = 0; r < kTileRows; ++r) {
        panel.sums[tile][g][t][r] += panel.sums[tile + 1][g][t][r];
      }
    }
  }
}

// Where the outputs of some groups of rows go.
struct TmmOutputs {
  float* y;  // of the first row and token 0
  std::size_t stride;
  std::size_t rows;  // from the first on
  float scale;
};

TERN_INLINE void write_tmm(const TmmTokens& tokens, int groups, const TmmPanel& panel,
                           const TmmOutputs& out) {
  for (std::size_t tile = 0; tile < tokens.tiles(); ++tile) {
    for (std::size_t t = 0; t < tokens.rows(); ++t) {
      const std::size_t token = tokens.start(tile) + t;
      for (int g = 0; g < groups; ++g) {
        const std::size_t row = static_cast<std::size_t>(g) * kTileRows;
        const std::size_t left = out.rows - row;
        write_sums(panel.sums[tile][g][t], tokens.x.sums[token], out.scale * tokens.x.scales[token],
                   left < kTileRows ? left : kTileRows, out.y + token * out.stride + row);
      }
    }
  }
}

// Neighbouring groups of rows times some tokens.
template <Packing kPacking, int kGroups>
TERN_INLINE void tmm_rows(const TernaryTiles& w, std::size_t prefetch_bytes, std::size_t group,
                          const TmmTokens& tokens, const TmmOutputs& out, TmmPanel& panel) {
  // As many tiles as fill whole steps: 256 quads of columns, or 240.
  constexpr std::size_t kPlanes = kPacking == Packing::kFiveTrits ? 5 : 4;
  constexpr std::size_t kTiles = kPacking == Packing::kFiveTrits ? 48 : 64;
  static_assert(kTiles * kPlanes % kTmmRows == 0 && kTiles * kPlanes <= kTmmSteps * kTmmRows);
  for (std::size_t first = 0; first < w.tiles; first += kTiles) {
    const std::size_t tiles = w.tiles - first < kTiles ? w.tiles - first : kTiles;
    const std::size_t column = first * kPlanes * 4;
    const std::size_t steps =
        unpack_panel(w, kPacking, prefetch_bytes, group, kGroups, first, tiles, panel);
    std::size_t tile = 0;
    for (; tile + 2 <= tokens.tiles(); tile += 2) {
      multiply_tmm<2, kGroups>(tokens, tile, column, steps, first > 0, panel);
    }
    if (tile < tokens.tiles()) {
      multiply_tmm<1, kGroups>(tokens, tile, column, steps, first > 0, panel);
    }
  }
  if (tokens.tiles() % 2 == 1) fold_tmm(tokens.tiles() - 1, tokens.rows(), kGroups, panel);
  write_tmm(tokens, kGroups, panel, out);
}

// As KernelTable::ternary_linear. Rows of activations are read in whole lines of 64 columns.
template <Packing kPacking>
TERN_INLINE void tmm_linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x,
                            std::size_t tokens, float* y, std::size_t y_stride,
                            std::size_t prefetch_bytes) {
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  const std::size_t chunks = (tokens + kTmmChunkTokens - 1) / kTmmChunkTokens;
  TmmPanel panel;
  configure_tmm(tokens < kTmmRows ? tokens : kTmmRows);
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    const std::size_t begin = tokens * chunk / chunks;
    const TmmTokens some{x, begin, tokens * (chunk + 1) / chunks - begin};
    for (std::size_t group = 0; group < groups; group += kTmmGroups) {
      const std::size_t row = group * kTileRows;
      const TmmOutputs out{y + row, y_stride, rows - row, w.scale};
      if (group + 1 < groups) {
        tmm_rows<kPacking, 2>(w, prefetch_bytes, group, some, out, panel);
      } else {
        tmm_rows<kPacking, 1>(w, prefetch_bytes, group, some, out, panel);
      }
    }
  }
  release_tmm();
}
