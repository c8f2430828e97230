// Ternary times int8 on tile registers of 16 rows by 64 bytes ("tmm"), for many tokens.
//
// Included, as bodies.h is, inside an anonymous namespace behind TERN_INLINE and a vocabulary:
// configure_tmm(rows) gives the registers below kFirstCodes so many rows, the others 16, and clears
// all; release_tmm(); zero_tmm<T>(), load_tmm<T>(from, stride), store_tmm<T>(to, stride);
// dot_tmm<C, A, B>(): the int32 C[t][r] += A[t][4k + i] * B[k][4r + i] over k and i, A signed and B
// unsigned; unpack_tile(tile, packing, to): the codes 0 to 2 of a tile, plane by plane;
// write_sums(sums, sum, factor, rows, y): y[r] = f32(sums[r] - sum) * factor.
// tests/conformance/tmm_test.cpp has a portable one, so that every CPU tests this file.
//
// A plane of packed trits, unpacked, is what B takes, and rows of activations are what A takes: no
// other order is needed. Weights are unpacked once for a chunk of tokens, into a panel of
// 32 rows by 640 columns at most, which stays in the nearest cache while activations come from the
// next one. Registers multiply one panel while vectors unpack the next and write what is done: they
// are units of their own, and neither waits for the other.
#pragma once

inline constexpr std::size_t kTmmBytes = kTmmRows * kTmmRowBytes;
inline constexpr int kTmmGroups = 2;  // of rows, times two of tokens: four sums in registers
// Steps of 64 columns: two panels of so many fit a first cache of 48 KiB. Of few tokens, which
// spend most time on unpacking, panels are shorter, and stores of them hit.
inline constexpr std::size_t kTmmSteps = 10;
inline constexpr std::size_t kTmmFewSteps = 5;
inline constexpr std::size_t kTmmFewTokens = 64;
// Tokens that pass a matrix together. Their rows stay in a second cache of 2 MiB, of which a
// neighbour on the same core has half.
inline constexpr std::size_t kTmmChunkTokens = 512;
inline constexpr std::size_t kTmmLeastChunk = 64;
inline constexpr std::size_t kTmmChunkBytes = std::size_t{896} << 10;
static_assert(kTileRows == kTmmRows && kTileBytes == kTmmRowBytes);
static_assert(kTmmChunkTokens % (2 * kTmmRows) == 0);  // a last tile by itself has sums of another

template <Packing kPacking>
inline constexpr std::size_t kTmmPlanes = kPacking == Packing::kFiveTrits ? 5 : 4;
// Tiles that fill so many steps.
template <Packing kPacking>
constexpr std::size_t tiles_of_steps(std::size_t steps) {
  return steps * kTmmRows / kTmmPlanes<kPacking>;
}

struct TmmCodes {
  alignas(64) std::uint8_t of[kTmmGroups][kTmmSteps][kTmmBytes];
};
struct TmmSums {
  alignas(64) std::int32_t of[kTmmChunkTokens / kTmmRows][kTmmGroups][kTmmRows][kTileRows];
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

// Which part of a matrix a panel holds: tiles [first, first + tiles) of `groups` groups of rows
// from `group` on.
struct TmmPanel {
  std::size_t group;
  int groups;  // 0: behind the last panel
  std::size_t first;
  std::size_t tiles;
};

// The panels of a matrix follow each other along the columns, then come the next groups.
struct TmmPanels {
  const TernaryTiles& w;
  std::size_t groups;  // of rows, all
  std::size_t tiles;   // of a panel, at most

  TmmPanel at(std::size_t group, std::size_t first) const {
    const std::size_t rest = w.tiles - first;
    const std::size_t below = group < groups ? groups - group : 0;
    return {group, below < kTmmGroups ? static_cast<int>(below) : kTmmGroups, first,
            rest < tiles ? rest : tiles};
  }
  bool ends_rows(const TmmPanel& panel) const { return panel.first + panel.tiles == w.tiles; }
  TmmPanel behind(const TmmPanel& panel) const {
    return ends_rows(panel) ? at(panel.group + kTmmGroups, 0)
                            : at(panel.group, panel.first + panel.tiles);
  }
};

// The unpacking of a panel, some tiles at a time.
template <Packing kPacking>
struct TmmUnpacking {
  const std::uint8_t* packed;  // the next tile
  std::size_t next_group;      // bytes from the last tile's end to the next group's first
  std::size_t ahead;           // bytes to the tile that the panel behind this one has there
  std::size_t tiles;           // of a group
  std::size_t left;            // of the group at hand
  int groups;                  // that are left
  std::uint8_t* codes;         // of the next tile
  std::uint8_t* group_codes;   // of the group at hand
};

// The last step of a group is filled with codes 0, which add nothing whatever the activations are.
template <Packing kPacking>
TERN_INLINE void end_group(TmmUnpacking<kPacking>& u) {
  const std::size_t quads = u.tiles * kTmmPlanes<kPacking>;
  __builtin_memset(u.codes, 0, (kTmmRows - quads % kTmmRows) % kTmmRows * kTmmRowBytes);
  u.packed += u.next_group;
  u.codes = u.group_codes += kTmmSteps * kTmmBytes;
  u.left = u.tiles;
  --u.groups;
}

// So many tiles, or all that are left.
template <Packing kPacking>
TERN_INLINE void unpack_some(TmmUnpacking<kPacking>& u, std::size_t count) {
  for (; count > 0 && u.groups > 0; --count) {
    __builtin_prefetch(u.packed + u.ahead, 0, 2);
    unpack_tile(u.packed, kPacking, u.codes);
    u.packed += kTileBytes;
    u.codes += kTmmPlanes<kPacking> * kTmmRowBytes;
    if (--u.left == 0) end_group(u);
  }
}

template <Packing kPacking>
TERN_INLINE void unpack_rest(TmmUnpacking<kPacking>& u) {
  unpack_some(u, ~std::size_t{0});
}

template <Packing kPacking>
TERN_INLINE TmmUnpacking<kPacking> unpacking_of(const TmmPanels& panels, const TmmPanel& panel,
                                                TmmCodes& codes) {
  const std::size_t all = panels.w.tiles;
  const std::size_t ahead = panels.ends_rows(panel) ? kTmmGroups * all - panel.first : panels.tiles;
  return {panels.w.codes + (panel.group * all + panel.first) * kTileBytes,
          (all - panel.tiles) * kTileBytes,
          ahead * kTileBytes,
          panel.tiles,
          panel.tiles,
          panel.groups,
          codes.of[0][0],
          codes.of[0][0]};
}

// What a panel is multiplied with, and how many tiles of the next one are unpacked in each step.
template <Packing kPacking>
struct TmmProduct {
  const TmmTokens& tokens;
  std::size_t first;  // tile of the panel's groups
  bool ends_rows;     // nothing follows along the columns
  std::size_t steps;
  const TmmCodes& codes;
  TmmSums& sums;
  TmmUnpacking<kPacking>& unpacking;
  std::size_t each;
};

// Sums of two tiles of tokens from `tile` on, or of one, and one or two groups of rows, over the
// columns of a panel. A product takes 16 cycles and is there after 52 (Intel's optimisation
// manual), so four sums go on at once: one tile takes every second step to the sums that the other
// would have, until fold_tmm() brings them together.
template <int kTiles, int kGroups, Packing kPacking>
TERN_INLINE void multiply_tmm(const TmmProduct<kPacking>& product, std::size_t tile) {
  const auto& [tokens, first, ends_rows, steps, codes, sums, unpacking, each] = product;
  const bool keeps_sums = tokens.tiles() <= 2;  // in registers, from panel to panel
  const std::size_t stride = tokens.x.stride;
  const std::int8_t* const x = tokens.x.values + first * kTmmPlanes<kPacking> * 4;
  const std::int8_t* const x0 = x + tokens.start(tile) * stride;
  const std::int8_t* const x1 = x + tokens.start(tile + kTiles - 1) * stride;
  constexpr std::size_t kSumBytes = kTileRows * sizeof(std::int32_t);
  if (first == 0) {
    zero_tmm<0>();
    zero_tmm<2>();
    if constexpr (kGroups > 1) zero_tmm<1>();
    if constexpr (kGroups > 1) zero_tmm<3>();
  } else if (!keeps_sums) {
    load_tmm<0>(sums.of[tile][0], kSumBytes);
    load_tmm<2>(sums.of[tile + 1][0], kSumBytes);
    if constexpr (kGroups > 1) load_tmm<1>(sums.of[tile][1], kSumBytes);
    if constexpr (kGroups > 1) load_tmm<3>(sums.of[tile + 1][1], kSumBytes);
  }
  for (std::size_t step = 0; step < steps; ++step) {
    load_tmm<kFirstCodes>(codes.of[0][step], kTmmRowBytes);
    if constexpr (kGroups > 1) load_tmm<kFirstCodes + 1>(codes.of[1][step], kTmmRowBytes);
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
    unpack_some(unpacking, each);
  }
  if (keeps_sums && !ends_rows) return;
  store_tmm<0>(sums.of[tile][0], kSumBytes);
  store_tmm<2>(sums.of[tile + 1][0], kSumBytes);
  if constexpr (kGroups > 1) store_tmm<1>(sums.of[tile][1], kSumBytes);
  if constexpr (kGroups > 1) store_tmm<3>(sums.of[tile + 1][1], kSumBytes);
}

// Of the last tile of tokens, which has no other, and of which there are `rows`.
TERN_INLINE void fold_tmm(std::size_t tile, std::size_t rows, int groups, TmmSums& sums) {
  for (int g = 0; g < groups; ++g) {
    for (std::size_t t = 0; t < rows; ++t) {
      for (std::size_t r = 0; r < kTileRows; ++r) {
        sums.of[tile][g][t][r] += sums.of[tile + 1][g][t][r];
      }
    }
  }
}

// Where the outputs of a matrix go.
struct TmmOutputs {
  float* y;  // of the first row and token 0
  std::size_t stride;
  std::size_t rows;
  float scale;
};

// The outputs of a panel's rows for the tiles of tokens [begin, end).
TERN_INLINE void write_tmm(const TmmTokens& tokens, std::size_t begin, std::size_t end,
                           const TmmPanel& panel, const TmmSums& sums, const TmmOutputs& out) {
  for (std::size_t tile = begin; tile < end; ++tile) {
    for (std::size_t t = 0; t < tokens.rows(); ++t) {
      const std::size_t token = tokens.start(tile) + t;
      for (int g = 0; g < panel.groups; ++g) {
        const std::size_t row = (panel.group + static_cast<std::size_t>(g)) * kTileRows;
        const std::size_t left = out.rows - row;
        write_sums(sums.of[tile][g][t], tokens.x.sums[token], out.scale * tokens.x.scales[token],
                   left < kTileRows ? left : kTileRows, out.y + token * out.stride + row);
      }
    }
  }
}

// Asks for where the outputs of two tiles of tokens go.
TERN_INLINE void fetch_outputs(const TmmTokens& tokens, std::size_t tile, const TmmPanel& panel,
                               const TmmOutputs& out) {
  for (std::size_t t = 0; t < 2 * kTmmRows; ++t) {
    const std::size_t token = tokens.start(tile + t / kTmmRows) + t % kTmmRows;
    const float* const y = out.y + token * out.stride + panel.group * kTileRows;
    for (int g = 0; g < panel.groups; ++g) __builtin_prefetch(y + g * kTileRows, 1, 3);
  }
}

// A panel times some tokens, while the next one is unpacked; outputs where it ends the rows.
template <Packing kPacking, int kGroups>
TERN_INLINE void tmm_panel(const TmmTokens& tokens, const TmmPanel& panel, bool ends_rows,
                           const TmmCodes& codes, TmmSums& sums, TmmUnpacking<kPacking>& unpacking,
                           const TmmOutputs& out) {
  const std::size_t quads = panel.tiles * kTmmPlanes<kPacking>;
  const std::size_t steps = (quads + kTmmRows - 1) / kTmmRows, tiles = tokens.tiles();
  const std::size_t turns = (tiles + 1) / 2 * steps;
  const std::size_t each = (kTmmGroups * unpacking.tiles + turns - 1) / turns;
  const TmmProduct<kPacking> product{tokens, panel.first, ends_rows, steps,
                                     codes,  sums,        unpacking, each};
  std::size_t tile = 0;
  for (; tile + 2 <= tiles; tile += 2) {
    if (ends_rows) fetch_outputs(tokens, tile, panel, out);
    multiply_tmm<2, kGroups>(product, tile);
    if (ends_rows) write_tmm(tokens, tile, tile + 2, panel, sums, out);
  }
  if (tile < tiles) {
    multiply_tmm<1, kGroups>(product, tile);
    if (ends_rows) fold_tmm(tile, tokens.rows(), kGroups, sums);
    if (ends_rows) write_tmm(tokens, tile, tile + 1, panel, sums, out);
  }
}

// Of rows of so many bytes, how many stay in the second cache while all of a matrix passes by.
TERN_INLINE std::size_t chunk_tokens(std::size_t row_bytes) {
  const std::size_t tokens = kTmmChunkBytes / row_bytes / (2 * kTmmRows) * (2 * kTmmRows);
  if (tokens < kTmmLeastChunk) return kTmmLeastChunk;
  return tokens < kTmmChunkTokens ? tokens : kTmmChunkTokens;
}

// A matrix times at most kTmmChunkTokens tokens.
template <Packing kPacking>
TERN_INLINE void tmm_tokens(const TernaryTiles& w, const TmmTokens& tokens, const TmmOutputs& out) {
  const std::size_t steps = tokens.count <= kTmmFewTokens ? kTmmFewSteps : kTmmSteps;
  const TmmPanels panels{w, (out.rows + kTileRows - 1) / kTileRows,
                         tiles_of_steps<kPacking>(steps)};
  TmmCodes codes[2];
  TmmSums sums;
  TmmPanel panel = panels.at(0, 0);
  TmmUnpacking<kPacking> unpacking = unpacking_of<kPacking>(panels, panel, codes[0]);
  unpack_rest(unpacking);
  for (std::size_t turn = 0; panel.groups > 0; turn ^= 1) {
    const TmmPanel next = panels.behind(panel);
    unpacking = unpacking_of<kPacking>(panels, next, codes[turn ^ 1]);
    const bool ends_rows = panels.ends_rows(panel);
    if (panel.groups > 1) {
      tmm_panel<kPacking, 2>(tokens, panel, ends_rows, codes[turn], sums, unpacking, out);
    } else {
      tmm_panel<kPacking, 1>(tokens, panel, ends_rows, codes[turn], sums, unpacking, out);
    }
    unpack_rest(unpacking);
    panel = next;
  }
}

// As KernelTable::ternary_linear. Rows of activations are read in whole lines of 64 columns.
template <Packing kPacking>
TERN_INLINE void tmm_linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x,
                            std::size_t tokens, float* y, std::size_t y_stride) {
  const TmmOutputs out{y, y_stride, rows, w.scale};
  const std::size_t most = chunk_tokens(x.stride);
  const std::size_t chunks = (tokens + most - 1) / most;
  configure_tmm(tokens < kTmmRows ? tokens : kTmmRows);
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    const std::size_t begin = tokens * chunk / chunks;
    tmm_tokens<kPacking>(w, {x, begin, tokens * (chunk + 1) / chunks - begin}, out);
  }
  release_tmm();
}
