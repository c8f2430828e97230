// The arithmetic of a BitNet block on raw spans: one KernelTable of function pointers a tier.
//
// Every tier gives the same bits. docs/numbers.md is the definition, scalar/ is its plain
// transcription, and tests/conformance holds each other tier to it. Besides its vocabulary and
// the bodies of generic/, a tier includes intrinsics, <cstddef>, <cstdint>,
// core/cpu_feature_bits.h, generic/constants.h, tables.h and this header alone, so that no shared
// inline function is compiled with a tier's instruction set (tools/check_symbols looks).
//
// Pointers need no alignment unless said. Buffers do not overlap unless said. Nothing allocates (a
// product may take half a megabyte of stack), nothing throws; all functions expect the
// floating-point environment of core/fp_env.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern::kernels {

// Attention works in chunks of keys at absolute positions; KV pages hold fewer keys.
inline constexpr std::size_t kChunkKeys = 256;
inline constexpr std::size_t kPageKeys = 32;
inline constexpr std::size_t kPagesPerChunk = kChunkKeys / kPageKeys;
// Trits are stored in tiles of 16 rows by 16 or 20 columns, four or five trits a byte.
inline constexpr std::size_t kTileRows = 16;
inline constexpr std::size_t kTileBytes = 64;
inline constexpr std::size_t kTwoBitColumns = 16;
inline constexpr std::size_t kFiveTritColumns = 20;
// Queries for which every tier has registers in a pass over keys and values, and those that a call
// takes at most: so many that what all read need not come from memory at the arithmetic's speed.
inline constexpr std::size_t kMaxQueries = 8;
inline constexpr std::size_t kCallQueries = 32;
// Rows of V are padded to whole vectors: round_up(head_dim, kValueAlign) values.
inline constexpr std::size_t kValueAlign = 16;
// Codes that lie side by side in an int8 page, as the four-way dot products take them.
inline constexpr std::size_t kQuad = 4;

// How a byte of a tile holds the codes c0, c1, ... of its planes.
//
// kTwoBits: c0 + 4*c1 + 16*c2 + 64*c3: 2 bits a weight.
// kFiveTrits: 28*(3*c0 + c1) + (9*c2 + 3*c3 + c4): 1.6 bits a weight. Groups of 28 begin at
// multiples of 4, so the byte's upper six bits tell c0 and c1, and what is left, 0 to 26, tells the
// rest: two look-ups in tables of 64, which AVX-512 VBMI has as one instruction.
enum class Packing : std::uint8_t { kTwoBits, kFiveTrits };

// How ternary_linear reads a matrix for one token. No pattern changes a result; which one is
// fastest depends on the CPU.
struct ReadPattern {
  std::uint32_t streams;         // groups of rows in turn, each through memory in one run: 1, 2, 4
  std::uint32_t prefetch_bytes;  // how far ahead of each stream memory is asked for
  // Where to: the second cache, or past it into the first one. Without a default, so that a
  // compiler warns of who builds a pattern from its parts and forgets what the CPU wants.
  bool second_cache;
};
inline constexpr std::uint32_t kMostStreams = 4;

// A ternary matrix as codes 0, 1, 2 (-1, 0, +1) in tiles. Byte 4*r + c of a tile holds row r and
// the columns c, 4+c, 8+c, ..., so that plane p has four neighbouring columns of each row, as the
// four-way dot products of all CPUs take them. The tiles of 16 rows stand one after the other along
// the columns, then come the next 16 rows. Rows and columns beyond the matrix hold code 1.
struct TernaryTiles {
  const std::uint8_t* codes;  // [ceil(rows / kTileRows)][tiles][kTileBytes]
  std::size_t tiles;          // ceil(columns / columns of a tile)
  float scale;                // multiplicative
  Packing packing = Packing::kTwoBits;
  ReadPattern read = {};  // without streams: the tier's own
  // From how many tokens on ternary_linear takes tile registers, where the tier has them; 0: from
  // the tier's own number on. No result depends on it; which number is best depends on the CPU.
  std::uint32_t tile_tokens = 0;
};

// Tiles of the head's int8 copy: 16 rows by 4 columns.
inline constexpr std::size_t kScanColumns = 4;
inline constexpr std::size_t kScanTileBytes = kTileRows * kScanColumns;

// A float matrix rounded to int8, row by row: weight = (code - 128) * scale of the row,
// |code - 128| <= 127. Byte 4*r + c of a tile holds row r and column c; the tiles of 16 rows stand
// one after the other along the columns, then come the next 16 rows. Columns beyond the matrix hold
// code 128.
struct ScanTiles {
  const std::uint8_t* codes;  // [ceil(rows / kTileRows)][tiles][kScanTileBytes]
  std::size_t tiles;          // ceil(columns / kScanColumns)
  const float* scales;        // [rows], padded to whole groups of kTileRows
  bool second_cache = false;  // as ReadPattern's, of one row of digits; HeadCopy sets it
};

// What belongs to a row of DigitRows: x ~ scale * (256*high + low), |256*high + low| <= 32639.
struct DigitScale {
  float scale;
  std::int32_t high_sum;  // of all high digits
  std::int32_t low_sum;
};

// Rows of activations as two int8 digits each, padded with zeros to whole tiles.
struct DigitRows {
  // [tiles][rows][2][kScanColumns]: of each row kScanColumns high digits, then the low ones
  const std::int8_t* digits;
  const DigitScale* of;  // [rows]
  std::size_t rows;
};
inline constexpr std::size_t kDigitBytes = 2 * kScanColumns;  // of a tile of one row

// How far a value scanned from a row can be off: residual*of_residual + norm*of_norm + constant, by
// two floats of the row.
struct ScanBound {
  float of_residual;
  float of_norm;
  float constant;
};
struct ScanErrors {
  const float* residuals;  // [rows], padded as the scales are
  const float* norms;
};

// Activations quantised to int8, one row a token, padded with zeros to whole tiles and to whole
// lines of 64 values.
struct QuantizedRows {
  const std::int8_t* values;  // [tokens][stride]
  std::size_t stride;         // bytes between tokens
  const float* scales;        // [tokens] d = m/127
  const std::int32_t* sums;   // [tokens] sum of a row's values
};

// Attention of one query head over some keys: maximum score, sum of weights, weighted values.
// `out` has round_up(head_dim, kValueAlign) floats. The empty state is {-infinity, 0, zeros}.
struct AttentionState {
  float maximum;
  float sum;
  float* out;
};

// One query head over the first `keys` keys (1 to kChunkKeys) of a chunk.
struct AttentionQuery {
  const float* q;  // [head_dim]
  std::size_t keys;
};

// kPageKeys keys and values of one KV head in f16.
struct KeyValuePage {
  const std::uint16_t* keys;    // [head_dim][kPageKeys]
  const std::uint16_t* values;  // [kPageKeys][round_up(head_dim, kValueAlign)]
};

// The pages of one KV head in a chunk, as many as the queries' keys need.
struct KeyValueChunk {
  const KeyValuePage* pages;
  std::size_t head_dim;
  // kPagesPerChunk pages that the next call reads, of which memory is asked for meanwhile; or null.
  const KeyValuePage* next = nullptr;
};

// The same with keys, values and queries quantised to int8, each code at most 127 in magnitude.
struct Int8Query {
  const std::int8_t* codes;  // [round_up(head_dim, kQuad)], zeros behind head_dim
  float scale;
  std::int32_t sum;  // of the codes
  std::size_t keys;
};

// What lies beyond the last key of a sequence is finite.
struct Int8Page {
  const std::int8_t* keys;    // [ceil(head_dim / kQuad)][kPageKeys][kQuad], zeros behind head_dim
  const std::int8_t* values;  // [kPageKeys / kQuad][round_up(head_dim, kValueAlign)][kQuad]
  const float* key_scales;    // [kPageKeys]
  const float* value_scales;  // [kPageKeys]
};

struct Int8Chunk {
  const Int8Page* pages;
  std::size_t head_dim;
  const Int8Page* next = nullptr;
};

struct KernelTable {
  const char* name;                 // "scalar", "avx2", "avx512-vnni"
  std::uint32_t required_features;  // CpuFeature bits
  bool five_trits;                  // ternary_linear takes Packing::kFiveTrits, too
  Packing packing;                  // that ternary_linear reads fastest on most CPUs, and
  ReadPattern read;                 // in which pattern
  std::uint32_t tile_tokens = 0;    // from how many tokens on it takes tile registers; 0: has none
  std::uint32_t lut_tokens = 0;     // from how many on look-up tables, in blocks; 0: has none

  // y[t*y_stride + r] = f32(acc) * (scale * d[t]) for rows [0, rows) of `w`.
  void (*ternary_linear)(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x,
                         std::size_t tokens, float* y, std::size_t y_stride);

  // Runs the instructions by which ternary_linear multiplies and accumulates, `steps` times on
  // registers alone, and returns the multiply-accumulates done: the ceiling of this tier, which
  // look-up tables may pass.
  std::uint64_t (*multiply_accumulate_loop)(std::uint64_t steps);

  // Runs the fused multiply-adds of floats, `steps` times on registers alone, and returns how many
  // were done: the ceiling of attention over f16.
  std::uint64_t (*fma_loop)(std::uint64_t steps);

  // Quantises n floats to int8 and zeroes q[n, padded). Writes d = m/127 and the sum of q. Returns
  // false, leaving the outputs unspecified, if any x is a NaN or an infinity.
  bool (*quantize)(const float* x, std::size_t n, std::size_t padded, std::int8_t* q, float* d,
                   std::int32_t* sum);

  // y = w * (x * r), r = 1/sqrt(sum(x*x)/n + eps). y may be x.
  void (*rms_norm)(const float* x, const float* w, std::size_t n, float eps, float* y);

  // y = x with pairs (x[i], x[i + half]) rotated by the angles whose cosine and sine are given. y
  // may be x.
  void (*rope)(const float* x, const float* cosine, const float* sine, std::size_t half, float* y);

  // y += x.
  void (*add)(const float* x, std::size_t n, float* y);
  // y = (g > 0 ? g : +0)^2 * u.
  void (*relu2_gate)(const float* g, const float* u, std::size_t n, float* y);
  // y = (g / (1 + exp(-g))) * u.
  void (*silu_gate)(const float* g, const float* u, std::size_t n, float* y);
  // y = (g / (1 + exp(-z))) * u with z = g*fma(g*g, kGeluCubic, kGeluLinear).
  void (*gelu_gate)(const float* g, const float* u, std::size_t n, float* y);

  // Rounds n floats to f16, `out_stride` elements apart. Returns false on overflow or NaN.
  bool (*store_f16)(const float* x, std::size_t n, std::uint16_t* out, std::size_t out_stride);

  // `count` queries (1 to kCallQueries) over one chunk; `scale` is f32(1/sqrt(head_dim)).
  // Overwrites all of the first `count` parts.
  void (*attention_chunk)(const AttentionQuery* queries, std::size_t count, float scale,
                          const KeyValueChunk& kv, AttentionState* parts);
  void (*attention_chunk_int8)(const Int8Query* queries, std::size_t count, float scale,
                               const Int8Chunk& kv, AttentionState* parts);
  // Folds the next chunk into the running state. Chunks fold strictly in ascending order.
  void (*attention_fold)(const AttentionState& part, std::size_t head_dim, AttentionState* total);
  // y = out / sum.
  void (*attention_output)(const AttentionState& total, std::size_t head_dim, float* y);

  // y[r] = sum rule over x[i] * w[r][i] for `rows` rows of n weights that follow each other.
  void (*dot_rows_f32)(const float* x, const float* w, std::size_t n, std::size_t rows, float* y);
  void (*dot_rows_f16)(const float* x, const std::uint16_t* w, std::size_t n, std::size_t rows,
                       float* y);
  void (*dot_rows_bf16)(const float* x, const std::uint16_t* w, std::size_t n, std::size_t rows,
                        float* y);
  // The same over rows of q8_0 or q6_k blocks (format/float_blocks.h has their bytes), n a multiple
  // of 32 or 256: each weight is dequantised as it is there.
  void (*dot_rows_q8_0)(const float* x, const std::uint8_t* w, std::size_t n, std::size_t rows,
                        float* y);
  void (*dot_rows_q6_k)(const float* x, const std::uint8_t* w, std::size_t n, std::size_t rows,
                        float* y);

  // What makes the int8 copy of a head. x[i] = f32 of the i-th f16, exactly but for the
  // bits of a NaN.
  void (*widen_f16)(const std::uint16_t* halves, std::size_t n, float* x);
  // The sum of x*x in f64: eight sums, element i in sum i % 8 and those behind the last whole eight
  // in the first one, each product and each sum rounded; then the eight are added in their order.
  // `largest` becomes the largest magnitude, a NaN where there is one.
  double (*row_squares)(const float* x, std::size_t n, float* largest);
  // The codes of a row of a ScanTiles, 128 + rint(x[i] * to_code), half to even, into its place in
  // its tiles, of which `codes` is the first: whole tiles, zeros behind n. |x[i] * to_code| < 128.
  // Returns the sum of (x[i] - scale * rounded)^2 in f64, by the same rule.
  double (*round_row)(const float* x, std::size_t n, float to_code, float scale,
                      std::uint8_t* codes);

  // s[r] = fma(f32(H), 256, f32(L)) * (w.scales[r] * x.of->scale) for `rows` rows and the only row
  // of digits; H and L are the exact int32 sums of the row's weights times the high and the low
  // digits. Reads the matrix once.
  void (*scan_rows)(const ScanTiles& w, std::size_t rows, const DigitRows& x, float* s);
  // The same in two steps, for several rows of digits. First high[q][r] = f32(H) for each row q of
  // them; the matrix is read once.
  void (*scan_high)(const ScanTiles& w, std::size_t rows, const DigitRows& x, float* const* high);
  // Of one row of digits and its scale, upper[r] = (high[r]*256)*(w.scales[r]*scale) + off, with
  // off = (residual*of_residual + norm*of_norm) + constant.
  void (*high_bounds)(const ScanTiles& w, const ScanErrors& errors, std::size_t rows,
                      const float* high, float scale, const ScanBound& bound, float* upper);
  // Then, for `count` rows of the digits from `first` on, what was values[q][r] = high[q][r]
  // becomes s[q][r].
  void (*scan_low)(const ScanTiles& w, std::size_t rows, const DigitRows& x, std::size_t first,
                   std::size_t count, float* const* values);
};

}  // namespace tern::kernels
