// The arithmetic of a BitNet block on raw spans: one KernelTable of function pointers a tier.
//
// Every tier gives the same bits. docs/numbers.md is the definition, scalar/ is its plain
// transcription, and tests/conformance holds each other tier to it. This header is all that a tier
// includes besides intrinsics and <cstdint>, so that no shared inline function is compiled with a
// tier's instruction set.
//
// Pointers need no alignment unless said. Buffers do not overlap unless said. Nothing allocates,
// nothing throws; all functions expect the floating-point environment of core/fp_env.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern::kernels {

// Attention works in chunks of keys at absolute positions; KV pages hold fewer keys.
inline constexpr std::size_t kChunkKeys = 256;
inline constexpr std::size_t kPageKeys = 32;
inline constexpr std::size_t kPagesPerChunk = kChunkKeys / kPageKeys;
// Ternary rows and quantised activations are padded to whole blocks.
inline constexpr std::size_t kBlockValues = 128;
inline constexpr std::size_t kBlockBytes = kBlockValues / 4;
// Rows of V are padded to whole vectors: round_up(head_dim, kValueAlign) floats.
inline constexpr std::size_t kValueAlign = 16;

// Rows of trits as codes 0, 1, 2 (-1, 0, +1), 128 columns in 32 bytes: byte b of a block holds
// columns b, 32+b, 64+b, 96+b in bits 7:6, 5:4, 3:2, 1:0. Columns beyond the matrix hold code 1.
struct TernaryRows {
  const std::uint8_t* codes;
  std::size_t row_bytes;  // blocks * kBlockBytes
  std::size_t blocks;     // of 128 columns in a row
  float scale;            // multiplicative
};

// Activations quantised to int8, one row a token, padded with zeros to whole blocks.
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

// One chunk: `keys` keys (1 to kChunkKeys) in ceil(keys / kPageKeys) pages.
struct KeyValueChunk {
  const std::uint16_t* const* k_pages;  // each [head_dim][kPageKeys] f16
  const std::uint16_t* const* v_pages;  // each [kPageKeys][round_up(head_dim, kValueAlign)] f16
  std::size_t keys;
  std::size_t head_dim;
};

struct KernelTable {
  const char* name;                 // "scalar", "avx2"
  std::uint32_t required_features;  // CpuFeature bits

  // y[t*y_stride + r] = f32(acc) * (scale * d[t]) for rows [0, rows) of `w`.
  void (*ternary_linear)(const TernaryRows& w, std::size_t rows, const QuantizedRows& x,
                         std::size_t tokens, float* y, std::size_t y_stride);

  // Quantises n floats to int8 and zeroes q[n, padded). Writes d = m/127 and the sum of q. Returns
  // false, leaving the outputs unspecified, if any x is a NaN or an infinity.
  bool (*quantize)(const float* x, std::size_t n, std::size_t padded, std::int8_t* q, float* d,
                   std::int32_t* sum);

  // y = w * (x * r), r = 1/sqrt(sum(x*x)/n + eps). y may be x.
  void (*rms_norm)(const float* x, const float* w, std::size_t n, float eps, float* y);

  // Rotates pairs (x[i], x[i + half]) in place by the angles whose cosine and sine are given.
  void (*rope)(float* x, const float* cosine, const float* sine, std::size_t half);

  // y += x.
  void (*add)(const float* x, std::size_t n, float* y);
  // y = (g > 0 ? g : +0)^2 * u.
  void (*relu2_gate)(const float* g, const float* u, std::size_t n, float* y);
  // y = (g / (1 + exp(-g))) * u.
  void (*silu_gate)(const float* g, const float* u, std::size_t n, float* y);

  // Rounds n floats to f16, `out_stride` elements apart. Returns false on overflow or NaN.
  bool (*store_f16)(const float* x, std::size_t n, std::uint16_t* out, std::size_t out_stride);

  // One query head over one chunk: `q` has head_dim floats, `scale` is f32(1/sqrt(head_dim)).
  // Overwrites all of `part`.
  void (*attention_chunk)(const float* q, float scale, const KeyValueChunk& kv,
                          AttentionState* part);
  // Folds the next chunk into the running state. Chunks fold strictly in ascending order.
  void (*attention_fold)(const AttentionState& part, std::size_t head_dim, AttentionState* total);
  // y = out / sum.
  void (*attention_output)(const AttentionState& total, std::size_t head_dim, float* y);

  // Sum rule over x[i] * w[i].
  float (*dot_f32)(const float* x, const float* w, std::size_t n);
  float (*dot_f16)(const float* x, const std::uint16_t* w, std::size_t n);
  float (*dot_bf16)(const float* x, const std::uint16_t* w, std::size_t n);
};

}  // namespace tern::kernels
