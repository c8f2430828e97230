// Attention over keys and values that are kept as int8 codes: dot products of integers, exact in
// any order, and the softmax of attention_body.h between them.
#pragma once

#include "kernels/generic/attention_body.h"

inline constexpr std::size_t kVectorCodes = kLanes * kQuad;
inline constexpr int kDigitChains = kChains / 2;  // outputs in registers, a sum for each digit

// As page_scores.
TERN_INLINE void page_scores_int8(const Int8Query* queries, int count, float scale,
                                  const Int8Page& page, std::size_t head_dim, float* scores) {
  Ints sums[kMaxQueries][kKeyVectors];
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < kKeyVectors; ++j) sums[q][j] = splat_ints(-kKeyBias * queries[q].sum);
  }
  for (std::size_t d = 0; d < head_dim; d += kQuad) {
    const std::size_t at = d * kPageKeys;
    Codes keys[kKeyVectors];
    for (int j = 0; j < kKeyVectors; ++j) keys[j] = load_keys(page.keys + at + j * kVectorCodes);
    fetch_behind(page.keys + at, kPageKeys * kQuad);
    for (int q = 0; q < count; ++q) {
      const Quad query = broadcast_quad(queries[q].codes + d);
      for (int j = 0; j < kKeyVectors; ++j) sums[q][j] = dot_keys(sums[q][j], keys[j], query);
    }
  }
  for (int q = 0; q < count; ++q) {
    float* row = scores + static_cast<std::size_t>(q) * kChunkKeys;
    const Vec factor = splat(queries[q].scale * scale);
    for (int j = 0; j < kKeyVectors; ++j) {
      const Vec unit = mul(load(page.key_scales + j * kLanes), factor);
      store(row + j * kLanes, mul(to_floats(sums[q][j]), unit));
    }
  }
}

// Weights p times the scales of the values, in units of a 16383rd of their maximum, as two digits;
// zeros from `keys` to `end`, which is whole pages. Returns the unit. p is overwritten.
TERN_INLINE float split_weights(float* p, std::size_t keys, std::size_t end, const Int8Page* pages,
                                std::int8_t* high, std::int8_t* low) {
  for (std::size_t key = keys; key < end; ++key) p[key] = 0.0f;
  Vec largest = splat(0.0f);
  for (std::size_t key = 0; key < end; key += kLanes) {
    const Vec scales = load(pages[key / kPageKeys].value_scales + key % kPageKeys);
    const Vec scaled = mul(load(p + key), scales);
    largest = where_less(largest, scaled, scaled, largest);
    store(p + key, scaled);
  }
  float lanes[kLanes];
  store(lanes, largest);
  float maximum = 0.0f;
  for (int i = 0; i < kLanes; ++i) maximum = lanes[i] > maximum ? lanes[i] : maximum;
  const Vec factor = splat(maximum > 0.0f ? kWeightRange / maximum : 0.0f);
  for (std::size_t key = 0; key < end; key += kLanes) {
    const Ints weights = nearest_ints(mul(load(p + key), factor));
    store_codes(high + key, high_digit(weights));
    store_codes(low + key, low_digit(weights));
  }
  return maximum / kWeightRange;
}

// out[q][d, d + vectors * kLanes), which holds integers, += P[q][key] * V[key] for the keys of a
// page.
TERN_INLINE void weighted_values_int8(const std::int8_t* high, const std::int8_t* low, int count,
                                      const std::int8_t* values, std::size_t width, std::size_t d,
                                      int vectors, AttentionState* parts) {
  Ints highs[kMaxQueries][kDigitChains];
  Ints lows[kMaxQueries][kDigitChains];
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < vectors; ++j) highs[q][j] = lows[q][j] = zero_ints();
  }
  for (std::size_t key = 0; key < kPageKeys; key += kQuad) {
    Codes row[kDigitChains];
    for (int j = 0; j < vectors; ++j) {
      row[j] = load_values(values + key * width + d * kQuad + j * kVectorCodes);
    }
    fetch_behind(values + key * width + d * kQuad,
                 static_cast<std::size_t>(vectors) * kVectorCodes);
    for (int q = 0; q < count; ++q) {
      const std::size_t at = static_cast<std::size_t>(q) * kChunkKeys + key;
      const Quad high_quad = broadcast_quad(high + at);
      const Quad low_quad = broadcast_quad(low + at);
      for (int j = 0; j < vectors; ++j) {
        highs[q][j] = dot_values(highs[q][j], row[j], high_quad);
        lows[q][j] = dot_values(lows[q][j], row[j], low_quad);
      }
    }
  }
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < vectors; ++j) {
      float* out = parts[q].out + d + j * kLanes;
      store(out, from_bits(add_ints(bits(load(out)), join_digits(highs[q][j], lows[q][j]))));
    }
  }
}

// All dimensions of `count` queries, at most kDigitChains.
TERN_INLINE void all_weighted_values_int8(const std::int8_t* high, const std::int8_t* low,
                                          int count, const Int8Chunk& kv, std::size_t width,
                                          std::size_t end, AttentionState* parts) {
  const int vectors = kDigitChains / count;
  for (std::size_t first = 0; first < end; first += kPageKeys) {
    const std::size_t page = first / kPageKeys;
    const std::int8_t* values = kv.pages[page].values;
    std::size_t d = 0;
    for (; d + vectors * kLanes <= width; d += vectors * kLanes) {
      weighted_values_int8(high + first, low + first, count, values, width, d, vectors, parts);
    }
    for (; d < width; d += kLanes) {
      weighted_values_int8(high + first, low + first, count, values, width, d, 1, parts);
    }
  }
}

// Scores of all queries, page by page. `count` is a constant where this is inlined.
TERN_INLINE void all_scores_int8(const Int8Query* queries, int count, float scale,
                                 const Int8Chunk& kv, std::size_t end, float* scores) {
  constexpr int kScored = kChains / kKeyVectors;
  const int scored = count < kScored ? count : kScored;
  for (std::size_t first = 0; first < end; first += kPageKeys) {
    const Int8Page& page = kv.pages[first / kPageKeys];
    for (int q = 0; q < count; q += scored) {
      page_scores_int8(queries + q, scored, scale, page, kv.head_dim,
                       scores + q * kChunkKeys + first);
    }
  }
}

TERN_INLINE void attend_together_int8(const Int8Query* queries, int count, float scale,
                                      const Int8Chunk& kv, AttentionState* parts) {
  float p[kMaxQueries * kChunkKeys];
  std::int8_t high[kMaxQueries * kChunkKeys];
  std::int8_t low[kMaxQueries * kChunkKeys];
  std::size_t most = 0;
  for (int q = 0; q < count; ++q) most = queries[q].keys > most ? queries[q].keys : most;
  const std::size_t end = (most + kPageKeys - 1) / kPageKeys * kPageKeys;
  const std::size_t width = (kv.head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
  all_scores_int8(queries, count, scale, kv, end, p);
  float units[kMaxQueries];
  for (int q = 0; q < count; ++q) {
    const std::size_t at = q * kChunkKeys;
    softmax_chunk(p + at, queries[q].keys, &parts[q]);
    units[q] = split_weights(p + at, queries[q].keys, end, kv.pages, high + at, low + at);
    for (std::size_t d = 0; d < width; d += kLanes) store(parts[q].out + d, splat(0.0f));
  }
  constexpr int kSharing = kDigitChains / 2;  // queries of many: two vectors of values serve each
  for (int q = 0; q < count; q += kSharing) {
    const int some = count < kSharing ? count : kSharing;
    all_weighted_values_int8(high + q * kChunkKeys, low + q * kChunkKeys, some, kv, width, end,
                             parts + q);
  }
  for (int q = 0; q < count; ++q) {
    for (std::size_t d = 0; d < width; d += kLanes) {
      float* out = parts[q].out + d;
      store(out, mul(to_floats(bits(load(out))), splat(units[q])));
    }
  }
}

void attention_chunk_int8(const Int8Query* queries, std::size_t count, float scale,
                          const Int8Chunk& kv, AttentionState* parts) {
  std::size_t q = 0;
  for (; q + 8 <= count; q += 8) attend_together_int8(queries + q, 8, scale, kv, parts + q);
  for (; q + 4 <= count; q += 4) attend_together_int8(queries + q, 4, scale, kv, parts + q);
  for (; q + 2 <= count; q += 2) attend_together_int8(queries + q, 2, scale, kv, parts + q);
  for (; q < count; ++q) attend_together_int8(queries + q, 1, scale, kv, parts + q);
}
