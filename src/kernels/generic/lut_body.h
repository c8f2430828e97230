// Ternary times int8 for many tokens by look-up tables. A byte of a tile holds the trits of four
// columns of a row: of these columns all 81 sums of activations are made once, for a block of
// tokens, and every row adds the one that its byte names. An addition then stands for four
// multiply-accumulates a lane, where a multiply-add and the addition behind it stand for two.
//
// Included, as bodies.h is, inside an anonymous namespace behind TERN_INLINE and a vocabulary: Lut
// has 16-bit lanes of kLutTokens tokens, with lut_zero, lut_add, lut_sub, lut_magnitude and
// lut_negative (whether any lane is below zero); load_columns(tokens, at, columns): the activations
// of kLutTokens tokens in each of 16 columns from `at` on; load_places<kScale>(tile, places): of
// each byte of a tile of two bits a weight, 27*c3 + 9*c2 + 3*c1 + c0, times kScale; lut_widen(v,
// ints): as int32, in kLutTokens / kLanes Ints; transpose(v): kLanes vectors of as many floats.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr std::size_t kLutEntries = 81;
inline constexpr std::size_t kLutBytes = kTileBytes / kTileRows;  // of a row in a tile
inline constexpr std::size_t kLutRows = 2048;  // whose sums stay in the second cache
inline constexpr int kLutInts = kLutTokens / kLanes;

// A block of tokens, kVectors vectors of them, times some rows: up to 0.4 MB, on the stack. The
// tables of one tile for two vectors, or of two for one, fill two thirds of a nearest cache of
// 32 KiB; of two tiles a sum is read and written once.
template <int kVectors>
struct LutBlock {
  static constexpr std::size_t kTokens = kVectors * kLutTokens;
  static constexpr std::size_t kTiles = 2 / kVectors;
  using Entry = Lut[kVectors];

  alignas(64) Entry tables[kTiles][kLutBytes][kLutEntries];
  alignas(64) Entry sums[kLutRows];
  alignas(64) Ints wide[kLutRows][kVectors * kLutInts];  // what was in sums before, if any
  bool any_wide;
  Entry reached;  // the sums of magnitudes that are in `sums`
  const std::int8_t* tokens[kTokens];
  float factors[kTokens];
};

// The sums of four columns.
template <int kVectors>
TERN_INLINE void fill_table(Lut a, Lut b, Lut c, Lut d, int vector, Lut (*entries)[kVectors]) {
  const Lut b3[3] = {lut_sub(lut_zero(), b), lut_zero(), b};
  const Lut d3[3] = {lut_sub(lut_zero(), d), lut_zero(), d};
  Lut low[9];
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    low[3 * i] = lut_sub(b3[i], a);
    low[3 * i + 1] = b3[i];
    low[3 * i + 2] = lut_add(b3[i], a);
  }
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    const Lut high[3] = {lut_sub(d3[i], c), d3[i], lut_add(d3[i], c)};
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) {
#pragma GCC unroll 9
      for (int k = 0; k < 9; ++k) {
        entries[9 * (3 * i + j) + k][vector] = lut_add(low[k], high[j]);
      }
    }
  }
}

// What has been summed up of a row and a vector of tokens.
template <int kVectors>
TERN_INLINE void total_of(const LutBlock<kVectors>& block, std::size_t row, int vector,
                          Ints* total) {
  lut_widen(block.sums[row][vector], total);
  if (!block.any_wide) return;
#pragma GCC unroll 4
  for (int i = 0; i < kLutInts; ++i) {
    total[i] = add_ints(total[i], block.wide[row][vector * kLutInts + i]);
  }
}

template <int kVectors>
TERN_INLINE void move_to_wide(LutBlock<kVectors>& block, std::size_t rows) {
  for (std::size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      Ints total[kLutInts];
      total_of(block, r, v, total);
#pragma GCC unroll 4
      for (int i = 0; i < kLutInts; ++i) block.wide[r][v * kLutInts + i] = total[i];
      block.sums[r][v] = lut_zero();
    }
  }
  block.any_wide = true;
  for (Lut& each : block.reached) each = lut_zero();
}

// The tables of the columns of `tiles` tiles. Before some token's magnitudes, of which a tile has
// 2032 at most, come to 2^15, what sums of 16 bits hold is moved on.
template <int kVectors>
__attribute__((noinline)) void fill_tables(LutBlock<kVectors>& block, std::size_t column,
                                           std::size_t tiles, std::size_t rows) {
  Lut magnitudes[kVectors];
  bool full = false;
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    magnitudes[v] = lut_zero();
    for (std::size_t tile = 0; tile < tiles; ++tile) {
      Lut x[kTwoBitColumns];
      load_columns(block.tokens + v * kLutTokens, column + tile * kTwoBitColumns, x);
#pragma GCC unroll 16
      for (const Lut& each : x) magnitudes[v] = lut_add(magnitudes[v], lut_magnitude(each));
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kLutBytes; ++i) {
        fill_table<kVectors>(x[i], x[kLutBytes + i], x[2 * kLutBytes + i], x[3 * kLutBytes + i], v,
                             block.tables[tile][i]);
      }
    }
    full |= lut_negative(lut_add(block.reached[v], magnitudes[v]));
  }
  if (full) move_to_wide(block, rows);
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    block.reached[v] = lut_add(block.reached[v], magnitudes[v]);
  }
}

// sums += of each row the entries that its bytes in kTiles tiles name. Their places are made a
// group of rows ahead, and read as one word a row and tile.
template <int kVectors, std::size_t kTiles>
__attribute__((noinline)) void add_named(LutBlock<kVectors>& block, const std::uint8_t* packed,
                                         std::size_t group_bytes, std::size_t groups) {
  using Entry = typename LutBlock<kVectors>::Entry;
  constexpr std::size_t kTableBytes = sizeof(block.tables[0][0]);
  // Of each vector a base of its own: else the compiler adds up addresses that an addition could
  // have as its operand.
  const char* tables[kVectors];
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    tables[v] = reinterpret_cast<const char*>(block.tables) + v * sizeof(Lut);
    __asm__("" : "+r"(tables[v]));
  }
  alignas(64) std::uint16_t places[2][kTiles][kTileBytes];
  const auto make_places = [&](std::uint16_t(&to)[kTiles][kTileBytes]) {
#pragma GCC unroll 2
    for (std::size_t tile = 0; tile < kTiles; ++tile) {
      const std::uint8_t* at = packed + tile * kTileBytes;
      // The next call's tiles come into the second cache, those of later rows into the nearest.
      __builtin_prefetch(at + kTiles * kTileBytes, 0, 2);
      __builtin_prefetch(at + 2 * group_bytes, 0, 3);
      load_places<sizeof(Entry)>(at, to[tile]);
    }
  };
  make_places(places[0]);
  for (std::size_t group = 0; group < groups; ++group) {
    if (group + 1 < groups) packed += group_bytes;
    make_places(places[(group + 1) % 2]);
    __asm__("" : "+m"(places));  // else the compiler takes them out of vectors
    Entry* sums = block.sums + group * kTileRows;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kTileRows; ++r) {
      Lut sum[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[v] = sums[r][v];
#pragma GCC unroll 2
      for (std::size_t tile = 0; tile < kTiles; ++tile) {
        std::uint64_t of_row;
        __builtin_memcpy(&of_row, &places[group % 2][tile][r * kLutBytes], sizeof of_row);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < kLutBytes; ++i) {
          const std::size_t at =
              (tile * kLutBytes + i) * kTableBytes + static_cast<std::uint16_t>(of_row >> (16 * i));
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) {
            sum[v] = lut_add(sum[v], *reinterpret_cast<const Lut*>(tables[v] + at));
          }
        }
      }
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] = sum[v];
    }
  }
}

// Outputs of kLanes tokens for each of kLanes rows, of which `rows` and `tokens` are there.
TERN_INLINE void store_square(float* y, std::size_t y_stride, std::size_t rows, std::size_t tokens,
                              Vec (&outputs)[kLanes]) {
  transpose(outputs);
  if (rows >= kLanes && tokens >= kLanes) {
#pragma GCC unroll 16
    for (std::size_t t = 0; t < kLanes; ++t) store(y + t * y_stride, outputs[t]);
    return;
  }
  for (std::size_t t = 0; t < kLanes && t < tokens; ++t) {
    float lanes[kLanes];
    store(lanes, outputs[t]);
    for (std::size_t r = 0; r < kLanes && r < rows; ++r) y[t * y_stride + r] = lanes[r];
  }
}

template <int kVectors>
TERN_INLINE void store_lut(const LutBlock<kVectors>& block, std::size_t rows, std::size_t tokens,
                           float* y, std::size_t y_stride) {
  for (std::size_t row = 0; row < rows; row += kLanes) {
    for (int v = 0; v < kVectors; ++v) {
      Vec outputs[kLutInts][kLanes];
      const std::size_t token = v * kLutTokens;
#pragma GCC unroll 16
      for (std::size_t r = 0; r < kLanes; ++r) {
        Ints total[kLutInts];
        total_of(block, row + r, v, total);
#pragma GCC unroll 4
        for (int i = 0; i < kLutInts; ++i) {
          outputs[i][r] = mul(to_floats(total[i]), load(block.factors + token + i * kLanes));
        }
      }
      for (int i = 0; i < kLutInts; ++i) {
        const std::size_t at = token + i * kLanes;
        store_square(y + at * y_stride + row, y_stride, rows - row, tokens - at, outputs[i]);
      }
    }
  }
}

// A block of `count` tokens from the first of x on; the last stands for those that are missing.
template <int kVectors>
__attribute__((noinline)) void lut_block(const TernaryTiles& w, std::size_t rows,
                                         const QuantizedRows& x, std::size_t count, float* y,
                                         std::size_t y_stride) {
  LutBlock<kVectors> block;
  for (std::size_t t = 0; t < block.kTokens; ++t) {
    const std::size_t token = t < count ? t : count - 1;
    block.tokens[t] = x.values + token * x.stride;
    block.factors[t] = w.scale * x.scales[token];
  }
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  constexpr std::size_t kGroups = kLutRows / kTileRows;
  const std::size_t ranges = (groups + kGroups - 1) / kGroups;
  for (std::size_t range = 0; range < ranges; ++range) {
    const std::size_t begin = groups * range / ranges;
    const std::size_t some = groups * (range + 1) / ranges - begin;
    const std::size_t row = begin * kTileRows;
    __builtin_memset(block.sums, 0, some * kTileRows * sizeof block.sums[0]);
    __builtin_memset(block.reached, 0, sizeof block.reached);
    block.any_wide = false;
    constexpr std::size_t kTiles = LutBlock<kVectors>::kTiles;
    for (std::size_t tile = 0; tile < w.tiles; tile += kTiles) {
      const std::size_t tiles = w.tiles - tile < kTiles ? w.tiles - tile : kTiles;
      fill_tables(block, tile * kTwoBitColumns, tiles, some * kTileRows);
      const auto add = tiles == kTiles ? add_named<kVectors, kTiles> : add_named<kVectors, 1>;
      add(block, w.codes + (begin * w.tiles + tile) * kTileBytes, w.tiles * kTileBytes, some);
    }
    const std::size_t left = rows - row;
    const std::size_t wanted = left < some * kTileRows ? left : some * kTileRows;
    store_lut(block, wanted, count, y + row, y_stride);
  }
}

TERN_INLINE QuantizedRows rows_from(const QuantizedRows& x, std::size_t token) {
  return {x.values + token * x.stride, x.stride, x.scales + token, x.sums + token};
}

// As KernelTable::ternary_linear, of two bits a weight: blocks of two vectors of tokens while there
// are `least_of_two`, then of one while there are `least`; either leaves less than kLanes tokens of
// a block empty. Returns how many tokens are done.
TERN_INLINE std::size_t lut_linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x,
                                   std::size_t tokens, std::size_t least, std::size_t least_of_two,
                                   float* y, std::size_t y_stride) {
  std::size_t done = 0;
  while (tokens - done >= least) {
    const std::size_t left = tokens - done;
    const int vectors = left < least_of_two ? 1 : 2;
    const std::size_t most = vectors * kLutTokens;
    const std::size_t count = left < most ? left : most;
    const auto block = vectors == 1 ? lut_block<1> : lut_block<2>;
    block(w, rows, rows_from(x, done), count, y + done * y_stride, y_stride);
    done += count;
  }
  return done;
}
