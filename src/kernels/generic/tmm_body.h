// Ternary times int8 on tile registers of 16 rows by 64 bytes ("tmm"), for many tokens.
//
// Included, as bodies.h is, inside an anonymous namespace behind TERN_INLINE and a vocabulary:
// configure_tmm(TmmShape) gives the registers their rows and clears all; release_tmm();
// zero_tmm<T>(), load_tmm<T>(from, stride), store_tmm<T>(to, stride); dot_tmm<C, A, B>(): the int32
// C[t][r] += A[t][4k + i] * B[k][4r + i] over k and i, A signed and B unsigned; unpack_tile(tile,
// packing, to): the codes 0 to 2 of a tile, plane by plane; write_sums(sums, sum, factor, rows, y):
// y[r] = f32(sums[r] - sum) * factor. tests/conformance/tmm_test.cpp has a portable one, so that
// every CPU tests this file.
//
// A plane of packed trits, unpacked, is what B takes, and rows of activations are what A takes: no
// other order is needed. Sums stay in registers over all columns: 32 rows times two tiles of
// tokens, or 64 rows times one. Weights are unpacked four steps before they are multiplied, since
// what was just stored cannot be loaded, into a place that is used again five steps later and so
// stays in the first cache; activations come from the second one. Vectors and registers are units
// of their own: between the products of a step stands what vectors do meanwhile, in even shares.
// That is to unpack, and to write what was summed before, one token a step, since a burst of stores
// to lines that are not near holds up those of the weights.
#pragma once

inline constexpr std::size_t kTmmBytes = kTmmRows * kTmmRowBytes;
// A step is 64 columns, a block so many steps: they are whole tiles in each packing.
inline constexpr std::size_t kTmmSteps = 5;
inline constexpr std::size_t kTmmLead = 4;         // steps from unpacking to the product
inline constexpr std::size_t kTmmBandGroups = 16;  // groups of rows that all tokens pass
inline constexpr std::size_t kTmmFetchTokens = 2;  // from asking for a line to writing it
static_assert(kTileRows == kTmmRows && kTileBytes == kTmmRowBytes && kTmmLead < kTmmSteps);
static_assert(kTmmSums + 2 == kFirstCodes);  // behind the sums two tiles of activations

template <Packing kPacking>
inline constexpr std::size_t kTmmPlanes = kPacking == Packing::kFiveTrits ? 5 : 4;
template <Packing kPacking>
inline constexpr std::size_t kBlockTiles = kTmmSteps* kTmmRows / kTmmPlanes<kPacking>;
static_assert(kTmmSteps * kTmmRows % 20 == 0);

struct TmmCodes {
  alignas(64) std::uint8_t of[kTmmSums][kTmmSteps][kTmmBytes];  // by group of rows
};
struct TmmSums {
  alignas(64) std::int32_t of[kTmmSums][kTmmRows][kTileRows];  // by tile, of each by group
};

// `count` tokens.
struct TmmTokens {
  const QuantizedRows& x;
  std::size_t count;

  std::size_t tiles() const { return (count + kTmmRows - 1) / kTmmRows; }
  std::size_t rows(std::size_t tile) const {
    const std::size_t left = count - tile * kTmmRows;
    return left < kTmmRows ? left : kTmmRows;
  }
};

// Where the outputs of a matrix go.
struct TmmOutputs {
  float* y;  // of the first row and token 0
  std::size_t stride;
  std::size_t rows;
  float scale;
};

// The columns of a block, as they lie packed for the first of some groups of rows.
struct TmmBlock {
  const std::uint8_t* packed;
  std::size_t tiles;
  std::size_t group_bytes;  // between groups
};

template <Packing kPacking>
TERN_INLINE TmmBlock block_of(const TernaryTiles& w, std::size_t group, std::size_t block) {
  const std::size_t first = block * kBlockTiles<kPacking>;
  const std::size_t left = w.tiles - first;
  return {w.codes + (group * w.tiles + first) * kTileBytes,
          left < kBlockTiles<kPacking> ? left : kBlockTiles<kPacking>, w.tiles * kTileBytes};
}

// The first tile that a step of a block has and the step before has not.
template <Packing kPacking>
constexpr std::size_t first_tile_of(std::size_t step) {
  return (step * kTmmRows + kTmmPlanes<kPacking> - 1) / kTmmPlanes<kPacking>;
}

// Unpacks a tile of a block in the `group`-th of kGroups groups.
template <Packing kPacking, int kGroups>
TERN_INLINE void unpack_one(const TmmBlock& block, std::size_t tile, std::size_t group,
                            TmmCodes& codes) {
  const std::uint8_t* packed = block.packed + tile * kTileBytes + group * block.group_bytes;
  __builtin_prefetch(packed + kGroups * block.group_bytes, 0, 2);
  unpack_tile(packed, kPacking, codes.of[group][0] + tile * kTmmPlanes<kPacking> * kTmmRowBytes);
}

// Unpacks the tiles of a step of a block in all groups. What is behind the last tile is filled with
// codes 0, which add nothing whatever the activations are.
template <Packing kPacking, int kGroups>
TERN_INLINE void unpack_step(const TmmBlock& block, std::size_t step, TmmCodes& codes) {
  constexpr std::size_t kBytes = kTmmPlanes<kPacking> * kTmmRowBytes;
  const std::size_t end = first_tile_of<kPacking>(step + 1);
  for (std::size_t tile = first_tile_of<kPacking>(step); tile < end; ++tile) {
    for (int g = 0; g < kGroups; ++g) {
      if (tile < block.tiles) {
        unpack_one<kPacking, kGroups>(block, tile, g, codes);
      } else {
        __builtin_memset(codes.of[g][0] + tile * kBytes, 0, kBytes);
      }
    }
  }
}

// The sums of kGroups groups of rows and kTiles tiles of tokens are registers 0, 1, ..., group by
// group of one tile.
inline constexpr std::size_t kTmmSumBytes = kTileRows * sizeof(std::int32_t);

template <int kGroups, int kTiles, int kSum = 0>
TERN_INLINE void zero_sums() {
  zero_tmm<kSum>();
  if constexpr (kSum + 1 < kGroups * kTiles) zero_sums<kGroups, kTiles, kSum + 1>();
}
template <int kGroups, int kTiles, int kSum = 0>
TERN_INLINE void store_sums(TmmSums& sums) {
  store_tmm<kSum>(sums.of[kSum], kTmmSumBytes);
  if constexpr (kSum + 1 < kGroups * kTiles) store_sums<kGroups, kTiles, kSum + 1>(sums);
}

// One or two tiles of tokens.
template <int kTiles>
struct TmmActivations {
  const std::int8_t* of[kTiles];
  std::size_t stride;
};

// The first group of rows and the first tile of tokens of what is summed at once.
struct TmmPlace {
  std::size_t group;
  std::size_t tile;
};

// What was summed at a place, of whose tokens those from `next` on are not written.
template <int kGroups, int kTiles>
struct TmmPending {
  static constexpr std::size_t kEnd = kTiles * kTmmRows;

  const TmmTokens& tokens;
  const TmmOutputs& out;
  const TmmSums& sums;
  TmmPlace place{};
  std::size_t next = kEnd;
};

// Writes the outputs of a token, if any is left.
template <int kGroups, int kTiles>
TERN_INLINE void write_one(TmmPending<kGroups, kTiles>& p) {
  if (p.next == p.kEnd) return;
  const std::size_t t = p.next / kTmmRows;
  const std::size_t i = p.next % kTmmRows;
  ++p.next;
  if (i >= p.tokens.rows(p.place.tile + t)) return;
  const std::size_t token = (p.place.tile + t) * kTmmRows + i;
  float* y = p.out.y + token * p.out.stride + p.place.group * kTileRows;
  const float* soon = y + kTmmFetchTokens * p.out.stride;
  for (std::size_t r = 0; r < kGroups * kTileRows; r += kTileRows)
    __builtin_prefetch(soon + r, 1, 3);
  const std::size_t left = p.out.rows - p.place.group * kTileRows;
  const std::int32_t sum = p.tokens.x.sums[token];
  const float factor = p.out.scale * p.tokens.x.scales[token];
  for (std::size_t g = 0; g < kGroups; ++g) {
    const std::size_t rows = left - g * kTileRows;
    write_sums(p.sums.of[t * kGroups + g][i], sum, factor, rows < kTileRows ? rows : kTileRows,
               y + g * kTileRows);
  }
}
template <int kGroups, int kTiles>
TERN_INLINE void write_all(TmmPending<kGroups, kTiles>& p) {
  while (p.next < p.kEnd) write_one(p);
}

// The products of a step, from the kDot-th on, with what is to be unpacked between them: unpack(u)
// the u-th of kUnits, tile by tile and of each group by group. The last tile of five trits ends in
// the place of the codes that are multiplied now: each group's are loaded before its unit comes.
template <int kGroups, int kTiles, std::size_t kUnits, int kDot = 0, typename Unpack>
TERN_INLINE void multiply_step(const TmmActivations<kTiles>& x, std::size_t column,
                               const TmmCodes& codes, std::size_t step, const Unpack& unpack) {
  constexpr int kGroup = kDot / kTiles;
  constexpr int kTile = kDot % kTiles;
  constexpr int kCodes = kFirstCodes + kGroup % 2;
  if constexpr (kGroup == 0) load_tmm<kTmmSums + kTile>(x.of[kTile] + column, x.stride);
  if constexpr (kTile == 0) load_tmm<kCodes>(codes.of[kGroup][step], kTmmRowBytes);
  dot_tmm<kTile * kGroups + kGroup, kTmmSums + kTile, kCodes>();
  constexpr std::size_t kDots = kGroups * kTiles;
#pragma GCC unroll 16
  for (std::size_t u = kUnits * kDot / kDots; u < kUnits * (kDot + 1) / kDots; ++u) unpack(u);
  if constexpr (kDot + 1 < kGroups * kTiles) {
    multiply_step<kGroups, kTiles, kUnits, kDot + 1>(x, column, codes, step, unpack);
  }
}

// Adds the products of a whole block that a whole one follows, from the kStep-th step on, while
// what is needed soon is unpacked and a token of what is pending is written.
template <Packing kPacking, int kGroups, int kTiles, std::size_t kStep = 0>
TERN_INLINE void multiply_whole_block(const TmmActivations<kTiles>& x, std::size_t column,
                                      const TmmBlock& block, const TmmBlock& next, TmmCodes& codes,
                                      TmmPending<kGroups, kTiles>& pending) {
  constexpr std::size_t kSoon = (kStep + kTmmLead) % kTmmSteps;
  const TmmBlock& from = kStep + kTmmLead < kTmmSteps ? block : next;
  constexpr std::size_t kFirst = first_tile_of<kPacking>(kSoon);
  constexpr std::size_t kUnits = (first_tile_of<kPacking>(kSoon + 1) - kFirst) * kGroups;
  const auto unpack = [&](std::size_t unit) __attribute__((always_inline)) {
    unpack_one<kPacking, kGroups>(from, kFirst + unit / kGroups, unit % kGroups, codes);
  };
  multiply_step<kGroups, kTiles, kUnits>(x, column, codes, kStep, unpack);
  write_one(pending);
  if constexpr (kStep + 1 < kTmmSteps) {
    multiply_whole_block<kPacking, kGroups, kTiles, kStep + 1>(x, column + kTmmRowBytes, block,
                                                               next, codes, pending);
  }
}

// Adds the products of any block to the sums, while what is needed soon is unpacked.
template <Packing kPacking, int kGroups, int kTiles>
TERN_INLINE void multiply_block(const TmmActivations<kTiles>& x, std::size_t column,
                                const TmmBlock& block, const TmmBlock& next, TmmCodes& codes,
                                TmmPending<kGroups, kTiles>& pending) {
  const std::size_t planes = block.tiles * kTmmPlanes<kPacking>;
  const std::size_t steps = (planes + kTmmRows - 1) / kTmmRows;
  for (std::size_t step = 0; step < kTmmSteps; ++step) {
    if (step < steps) {
      multiply_step<kGroups, kTiles, 0>(x, column + step * kTmmRowBytes, codes, step,
                                        [](std::size_t) {});
    }
    const std::size_t soon = step + kTmmLead;
    if (soon < kTmmSteps) {
      unpack_step<kPacking, kGroups>(block, soon, codes);
    } else {
      unpack_step<kPacking, kGroups>(next, soon - kTmmSteps, codes);
    }
    write_one(pending);
  }
}

// Groups [begin, end) of rows times tiles [first, last) of tokens, kGroups by kTiles at a time,
// without a pause between: the first columns of the next place are unpacked, and the sums of the
// last one written, while one is multiplied.
template <Packing kPacking, int kGroups, int kTiles>
TERN_INLINE void tmm_run(const TernaryTiles& w, std::size_t begin, std::size_t end,
                         const TmmTokens& tokens, std::size_t first, std::size_t last,
                         const TmmOutputs& out, TmmCodes& codes) {
  constexpr std::size_t kWhole = kBlockTiles<kPacking>;
  const std::size_t blocks = (w.tiles + kWhole - 1) / kWhole;
  TmmSums sums;
  TmmPending<kGroups, kTiles> pending{tokens, out, sums};
  TmmBlock next = block_of<kPacking>(w, begin, 0);
  for (std::size_t step = 0; step < kTmmLead; ++step) {
    unpack_step<kPacking, kGroups>(next, step, codes);
  }
  for (TmmPlace place{begin, first}; place.tile < last;) {
    TmmPlace after{place.group + kGroups, place.tile};
    if (after.group == end) after = {begin, place.tile + kTiles};
    if (place.group == begin) {
      configure_tmm({tokens.rows(place.tile), tokens.rows(place.tile + kTiles - 1), kGroups});
    }
    TmmActivations<kTiles> x{{}, tokens.x.stride};
    for (int t = 0; t < kTiles; ++t) {
      x.of[t] = tokens.x.values + (place.tile + t) * kTmmRows * x.stride;
    }
    zero_sums<kGroups, kTiles>();
    for (std::size_t i = 0; i < blocks; ++i) {
      const TmmBlock block = next;
      next = i + 1 < blocks ? block_of<kPacking>(w, place.group, i + 1)
                            : block_of<kPacking>(w, after.group, 0);
      const std::size_t column = i * kTmmSteps * kTmmRowBytes;
      if (block.tiles == kWhole && next.tiles == kWhole) {
        multiply_whole_block<kPacking, kGroups, kTiles>(x, column, block, next, codes, pending);
      } else {
        multiply_block<kPacking, kGroups, kTiles>(x, column, block, next, codes, pending);
      }
    }
    write_all(pending);
    store_sums<kGroups, kTiles>(sums);
    pending.place = place;
    pending.next = 0;
    place = after;
  }
  write_all(pending);
}

// Groups [begin, end) of rows, which begin at a multiple of kTmmBandGroups, times tiles [first,
// last).
template <Packing kPacking, int kTiles>
TERN_INLINE void tmm_band(const TernaryTiles& w, std::size_t begin, std::size_t end,
                          const TmmTokens& tokens, std::size_t first, std::size_t last,
                          const TmmOutputs& out, TmmCodes& codes) {
  if (first == last) return;
  constexpr int kGroups = kTmmSums / kTiles;
  const std::size_t whole = end - end % kGroups;
  if (begin < whole) {
    tmm_run<kPacking, kGroups, kTiles>(w, begin, whole, tokens, first, last, out, codes);
  }
  if (whole < end) tmm_run<kPacking, 1, kTiles>(w, whole, end, tokens, first, last, out, codes);
}

// As KernelTable::ternary_linear. Rows of activations are read in whole lines of 64 columns.
template <Packing kPacking>
TERN_INLINE void tmm_linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x,
                            std::size_t tokens, float* y, std::size_t y_stride) {
  const TmmOutputs out{y, y_stride, rows, w.scale};
  const TmmTokens all{x, tokens};
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  TmmCodes codes;
  const std::size_t pairs = all.tiles() / 2 * 2;
  for (std::size_t begin = 0; begin < groups; begin += kTmmBandGroups) {
    const std::size_t end = begin + kTmmBandGroups < groups ? begin + kTmmBandGroups : groups;
    tmm_band<kPacking, 2>(w, begin, end, all, 0, pairs, out, codes);
    tmm_band<kPacking, 1>(w, begin, end, all, pairs, all.tiles(), out, codes);
  }
  release_tmm();
}
