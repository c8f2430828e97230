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
// other order is needed. A register takes as long to load from the first cache as half a product
// does, and several times as long from the second one, so all is arranged for the first: while a
// band of rows passes, two tiles of tokens stay there with a panel of columns (a tile by itself has
// all columns pass for 64 rows), and weights are unpacked two steps before they are multiplied,
// into a place that is used again five steps later. Vectors and registers are units of their own,
// and neither waits for the other.
#pragma once

inline constexpr std::size_t kTmmBytes = kTmmRows * kTmmRowBytes;
// A step is 64 columns, a block so many steps: they are whole tiles in each packing.
inline constexpr std::size_t kTmmSteps = 5;
inline constexpr std::size_t kTmmLead = 2;  // steps from unpacking to the product
inline constexpr std::size_t kTmmPanelBlocks = 2;
inline constexpr std::size_t kTmmBandGroups = 16;  // groups of rows
inline constexpr int kTmmSums = 4;                 // in registers: of 1 or 2 tiles of tokens
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
  alignas(64) std::int32_t of[kTmmBandGroups][2][kTmmRows][kTileRows];  // by group, by tile
};

// `count` tokens.
struct TmmTokens {
  const QuantizedRows& x;
  std::size_t count;

  std::size_t tiles() const { return (count + kTmmRows - 1) / kTmmRows; }
  std::size_t rows() const { return count < kTmmRows ? count : kTmmRows; }  // of a tile
  // Of 16 tokens each: the last overlaps the one before instead of reading beyond the last token.
  std::size_t start(std::size_t tile) const {
    const std::size_t at = tile * kTmmRows;
    const std::size_t last = count < kTmmRows ? 0 : count - kTmmRows;
    return at < last ? at : last;
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
  std::size_t tiles;  // 0: behind the last block
};

template <Packing kPacking>
TERN_INLINE TmmBlock block_of(const TernaryTiles& w, std::size_t group, std::size_t block) {
  const std::size_t first = block * kBlockTiles<kPacking>;
  const std::size_t left = w.tiles - first;
  return {w.codes + (group * w.tiles + first) * kTileBytes,
          left < kBlockTiles<kPacking> ? left : kBlockTiles<kPacking>};
}

// Unpacks what a step of a block has and the step before has not, in all groups; `group_bytes` lie
// between them. What is behind the last tile is filled with codes 0, which add nothing whatever the
// activations are.
template <Packing kPacking, int kGroups>
TERN_INLINE void unpack_step(const TmmBlock& block, std::size_t step, std::size_t group_bytes,
                             TmmCodes& codes) {
  constexpr std::size_t kPlanes = kTmmPlanes<kPacking>;
  const std::size_t end = ((step + 1) * kTmmRows + kPlanes - 1) / kPlanes;
  for (std::size_t tile = (step * kTmmRows + kPlanes - 1) / kPlanes; tile < end; ++tile) {
    const std::uint8_t* packed = block.packed + tile * kTileBytes;
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g, packed += group_bytes) {
      std::uint8_t* to = codes.of[g][0] + tile * kPlanes * kTmmRowBytes;
      if (tile < block.tiles) {
        __builtin_prefetch(packed + kGroups * group_bytes, 0, 2);
        unpack_tile(packed, kPacking, to);
      } else {
        __builtin_memset(to, 0, kPlanes * kTmmRowBytes);
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
TERN_INLINE void load_sums(const TmmSums& sums, std::size_t group) {
  load_tmm<kSum>(sums.of[group + kSum % kGroups][kSum / kGroups], kTmmSumBytes);
  if constexpr (kSum + 1 < kGroups * kTiles) load_sums<kGroups, kTiles, kSum + 1>(sums, group);
}
template <int kGroups, int kTiles, int kSum = 0>
TERN_INLINE void store_sums(TmmSums& sums, std::size_t group) {
  store_tmm<kSum>(sums.of[group + kSum % kGroups][kSum / kGroups], kTmmSumBytes);
  if constexpr (kSum + 1 < kGroups * kTiles) store_sums<kGroups, kTiles, kSum + 1>(sums, group);
}

template <int kGroups, int kTiles, int kGroup = 0>
TERN_INLINE void multiply_step(const TmmCodes& codes, std::size_t step) {
  constexpr int kCodes = kFirstCodes + kGroup % 2;
  load_tmm<kCodes>(codes.of[kGroup][step], kTmmRowBytes);
  dot_tmm<kGroup, 4, kCodes>();
  if constexpr (kTiles > 1) dot_tmm<kGroups + kGroup, 5, kCodes>();
  if constexpr (kGroup + 1 < kGroups) multiply_step<kGroups, kTiles, kGroup + 1>(codes, step);
}

// One or two tiles of tokens.
template <int kTiles>
struct TmmActivations {
  const std::int8_t* of[kTiles];
  std::size_t stride;
};

// Adds the products of a block, the columns' `index`-th, to the sums, while what is needed soon is
// unpacked.
template <Packing kPacking, int kGroups, int kTiles>
TERN_INLINE void multiply_block(const TmmActivations<kTiles>& x, std::size_t index,
                                const TmmBlock& block, const TmmBlock& next,
                                std::size_t group_bytes, TmmCodes& codes) {
  const std::size_t planes = block.tiles * kTmmPlanes<kPacking>;
  const std::size_t steps = (planes + kTmmRows - 1) / kTmmRows;
  for (std::size_t step = 0; step < kTmmSteps; ++step) {
    if (step < steps) {
      const std::size_t column = (index * kTmmSteps + step) * kTmmRowBytes;
      load_tmm<4>(x.of[0] + column, x.stride);
      if constexpr (kTiles > 1) load_tmm<5>(x.of[1] + column, x.stride);
      multiply_step<kGroups, kTiles>(codes, step);
    }
    const std::size_t soon = step + kTmmLead;
    if (soon < kTmmSteps) {
      unpack_step<kPacking, kGroups>(block, soon, group_bytes, codes);
    } else {
      unpack_step<kPacking, kGroups>(next, soon - kTmmSteps, group_bytes, codes);
    }
  }
}

// Of kGroups groups of rows from `group` on, whose sums are those from `at` on.
template <int kGroups, int kTiles>
TERN_INLINE void write_outputs(const TmmTokens& tokens, std::size_t tile, std::size_t group,
                               const TmmSums& sums, std::size_t at, const TmmOutputs& out) {
  for (int t = 0; t < kTiles; ++t) {
    for (std::size_t i = 0; i < tokens.rows(); ++i) {
      const std::size_t token = tokens.start(tile + t) + i;
      for (int g = 0; g < kGroups; ++g) {
        const std::size_t row = (group + g) * kTileRows;
        const std::size_t left = out.rows - row;
        write_sums(sums.of[at + g][t][i], tokens.x.sums[token], out.scale * tokens.x.scales[token],
                   left < kTileRows ? left : kTileRows, out.y + token * out.stride + row);
      }
    }
  }
}

// Groups [begin, end) of rows, of a band and kGroups in turn, times kTiles tiles of tokens. Of two,
// a panel of columns stays in the first cache while all groups pass, and sums wait in memory; those
// of one tile stay in registers over all columns.
template <Packing kPacking, int kGroups, int kTiles>
TERN_INLINE void tmm_pass(const TernaryTiles& w, std::size_t begin, std::size_t end,
                          const TmmTokens& tokens, std::size_t tile, const TmmOutputs& out,
                          TmmCodes& codes, TmmSums& sums) {
  const std::size_t group_bytes = w.tiles * kTileBytes;
  const std::size_t blocks = (w.tiles + kBlockTiles<kPacking> - 1) / kBlockTiles<kPacking>;
  const std::size_t panel = kTiles > 1 ? kTmmPanelBlocks : blocks;
  TmmActivations<kTiles> x{{}, tokens.x.stride};
  for (int t = 0; t < kTiles; ++t) {
    x.of[t] = tokens.x.values + tokens.start(tile + t) * x.stride;
  }
  TmmBlock next = block_of<kPacking>(w, begin, 0);
  for (std::size_t step = 0; step < kTmmLead; ++step) {
    unpack_step<kPacking, kGroups>(next, step, group_bytes, codes);
  }
  for (std::size_t first = 0; first < blocks; first += panel) {
    const std::size_t last = first + panel < blocks ? first + panel : blocks;
    for (std::size_t group = begin; group < end; group += kGroups) {
      if (first == 0) {
        zero_sums<kGroups, kTiles>();
      } else {
        load_sums<kGroups, kTiles>(sums, group - begin);
      }
      for (std::size_t i = first; i < last; ++i) {
        const TmmBlock block = next;
        if (i + 1 < last) {
          next = block_of<kPacking>(w, group, i + 1);
        } else if (group + kGroups < end) {
          next = block_of<kPacking>(w, group + kGroups, first);
        } else {
          next = last < blocks ? block_of<kPacking>(w, begin, last) : TmmBlock{w.codes, 0};
        }
        multiply_block<kPacking, kGroups, kTiles>(x, i, block, next, group_bytes, codes);
      }
      store_sums<kGroups, kTiles>(sums, group - begin);
      if (last == blocks) {
        write_outputs<kGroups, kTiles>(tokens, tile, group, sums, group - begin, out);
      }
    }
  }
}

template <Packing kPacking, int kTiles>
TERN_INLINE void tmm_band(const TernaryTiles& w, std::size_t begin, std::size_t end,
                          const TmmTokens& tokens, std::size_t tile, const TmmOutputs& out,
                          TmmCodes& codes, TmmSums& sums) {
  constexpr int kGroups = kTmmSums / kTiles;
  const std::size_t whole = end - end % kGroups;  // a band begins at a multiple
  if (begin < whole) {
    tmm_pass<kPacking, kGroups, kTiles>(w, begin, whole, tokens, tile, out, codes, sums);
  }
  if (whole < end) tmm_pass<kPacking, 1, kTiles>(w, whole, end, tokens, tile, out, codes, sums);
}

// As KernelTable::ternary_linear. Rows of activations are read in whole lines of 64 columns.
template <Packing kPacking>
TERN_INLINE void tmm_linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x,
                            std::size_t tokens, float* y, std::size_t y_stride) {
  const TmmOutputs out{y, y_stride, rows, w.scale};
  const TmmTokens all{x, tokens};
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  TmmCodes codes;
  TmmSums sums;
  configure_tmm(all.rows());
  for (std::size_t begin = 0; begin < groups; begin += kTmmBandGroups) {
    const std::size_t end = begin + kTmmBandGroups < groups ? begin + kTmmBandGroups : groups;
    std::size_t tile = 0;
    for (; tile + 2 <= all.tiles(); tile += 2) {
      tmm_band<kPacking, 2>(w, begin, end, all, tile, out, codes, sums);
    }
    if (tile < all.tiles()) tmm_band<kPacking, 1>(w, begin, end, all, tile, out, codes, sums);
  }
  release_tmm();
}
