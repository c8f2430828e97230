// Attention over keys and values that are kept as int8 codes: dot products of integers, exact in
// any order, and the softmax of attention_body.h between them.
#pragma once

#include "kernels/generic/attention_body.h"

inline constexpr std::size_t kVectorCodes = kLanes * kQuad;
inline constexpr std::size_t kInt8LeadBytes = 28672;  // as kLeadBytes
inline constexpr int kDigitChains = kChains / 2;      // outputs in registers, a sum for each digit
inline constexpr int kSharing = kDigitChains / 2;     // queries in a pass of many: two for each
// Pages whose weighted values are summed up in registers before the sums go to memory.
inline constexpr std::size_t kValuePages = 4;

// As page_scores.
TERN_INLINE void page_scores_int8(const Int8Query* queries, int count, float scale,
                                  const Int8Page* page, int pages, std::size_t head_dim,
                                  float* scores, Lines lines) {
  Ints sums[kMaxQueries][2][kKeyVectors];
  for (int q = 0; q < count; ++q) {
    for (int i = 0; i < pages; ++i) {
      for (int j = 0; j < kKeyVectors; ++j) sums[q][i][j] = splat_ints(-kKeyBias * queries[q].sum);
    }
  }
  for (std::size_t d = 0; d < head_dim; d += kQuad) {
    Codes keys[2][kKeyVectors];
    for (int i = 0; i < pages; ++i) {
      for (int j = 0; j < kKeyVectors; ++j) {
        keys[i][j] = load_keys(page[i].keys + d * kPageKeys + j * kVectorCodes);
      }
    }
    fetch_lines(lines, static_cast<std::size_t>(pages));
    for (int q = 0; q < count; ++q) {
      const Quad query = broadcast_quad(queries[q].codes + d);
      for (int i = 0; i < pages; ++i) {
        for (int j = 0; j < kKeyVectors; ++j) {
          sums[q][i][j] = dot_keys(sums[q][i][j], keys[i][j], query);
          pin(sums[q][i][j]);
        }
      }
    }
  }
  for (int q = 0; q < count; ++q) {
    float* row = scores + static_cast<std::size_t>(q) * kChunkKeys;
    const Vec factor = splat(queries[q].scale * scale);
    for (int i = 0; i < pages; ++i, row += kPageKeys) {
      for (int j = 0; j < kKeyVectors; ++j) {
        const Vec unit = mul(load(page[i].key_scales + j * kLanes), factor);
        store(row + j * kLanes, mul(to_floats(sums[q][i][j]), unit));
      }
    }
  }
}

// Where the digits of a query's weights stand: the high ones, then the low ones.
inline constexpr std::size_t kDigits = 2 * kChunkKeys;

struct ScaledWeights {
  float sum;      // of the weights
  float largest;  // of the weights times scales
};

// As weights_of, but each weight is left times the scale of its value, up to softmax_keys(end);
// `end` is whole pages.
TERN_INLINE ScaledWeights scaled_weights_of(float* p, std::size_t keys, std::size_t end,
                                            float maximum, const Int8Page* pages, Fetch& fetch) {
  const std::size_t summed = softmax_keys(keys);
  Lines lines = take_lines(fetch, kFetchedBySoftmax * kChunkKeys / kLanes);
  Sum64 sum = sum_zero();
  Vec largest = splat(0.0f);
  for (std::size_t key = 0; key < summed; key += kSumLanes) {
    for (int j = 0; j < kRegisters; ++j) {
      const std::size_t at = key + static_cast<std::size_t>(j * kLanes);
      const Vec weights = exp_below_high(sub(load(p + at), splat(maximum)));
      sum.lanes[j] = add(sum.lanes[j], weights);
      fetch_lines(lines, kFetchedBySoftmax);
      // Where there is no such page the weights are zeros, whatever its scale is.
      const Int8Page& page = pages[(at < end ? at : end - 1) / kPageKeys];
      const Vec scaled = mul(weights, load(page.value_scales + at % kPageKeys));
      largest = larger(largest, scaled);
      store(p + at, scaled);
    }
  }
  for (std::size_t key = summed; key < softmax_keys(end); key += kLanes) {
    store(p + key, splat(0.0f));
  }
  return {sum_total(sum), fold_lanes(largest, larger)};
}

// What is scaled in units of a 16383rd of its maximum, as two digits, up to softmax_keys(end).
// Returns the unit.
TERN_INLINE float split_weights(const float* p, std::size_t end, float maximum, std::int8_t* digits,
                                Fetch& fetch) {
  const Vec factor = splat(maximum > 0.0f ? kWeightRange / maximum : 0.0f);
  Lines lines = take_lines(fetch, kFetchedByLess * kChunkKeys / kLanes);
  for (std::size_t key = 0; key < end; key += kSumLanes) {
    Ints weights[kRegisters];
    for (int j = 0; j < kRegisters; ++j) {
      weights[j] = nearest_ints(mul(load(p + key + static_cast<std::size_t>(j * kLanes)), factor));
      fetch_lines(lines, kFetchedByLess);
    }
    store_digits(digits + key, digits + kChunkKeys + key, weights);
  }
  return maximum / kWeightRange;
}

// Scores of queries to digits of their weights, in units[q]. p[q * kChunkKeys + key] and
// digits[q * kDigits + key]. Step by step for all queries: what ends a step of one has to wait, and
// the others need not.
TERN_INLINE void softmax_digits(float* p, const Int8Query* queries, std::size_t count,
                                const Int8Page* pages, std::size_t end, std::int8_t* digits,
                                float* units, AttentionState* parts, Fetch& fetch) {
  for (std::size_t q = 0; q < count; ++q) {
    parts[q].maximum = largest_score(p + q * kChunkKeys, queries[q].keys, fetch);
  }
  for (std::size_t q = 0; q < count; ++q) {
    const ScaledWeights weights =
        scaled_weights_of(p + q * kChunkKeys, queries[q].keys, end, parts[q].maximum, pages, fetch);
    parts[q].sum = weights.sum;
    units[q] = weights.largest;
  }
  for (std::size_t q = 0; q < count; ++q) {
    units[q] = split_weights(p + q * kChunkKeys, end, units[q], digits + q * kDigits, fetch);
  }
}

// out[q][d, d + vectors * kLanes), which holds integers, += P[q][key] * V[key] for the keys of some
// pages.
TERN_INLINE void weighted_values_int8(const std::int8_t* digits, int count, const Int8Page* page,
                                      std::size_t pages, std::size_t width, std::size_t d,
                                      int vectors, AttentionState* parts, Fetch& fetch) {
  Ints highs[kSharing][kDigitChains];
  Ints lows[kSharing][kDigitChains];
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < vectors; ++j) highs[q][j] = lows[q][j] = zero_ints();
  }
  const std::size_t at_hand = lines_of(static_cast<std::size_t>(vectors) * kVectorCodes);
  for (std::size_t i = 0; i < pages; ++i, digits += kPageKeys) {
    const std::int8_t* values = page[i].values + d * kQuad;
    Lines lines = take_lines(fetch, at_hand * kPageKeys / kQuad);
    for (std::size_t key = 0; key < kPageKeys; key += kQuad) {
      Codes row[kDigitChains];
      for (int j = 0; j < vectors; ++j)
        row[j] = load_values(values + key * width + j * kVectorCodes);
      fetch_lines(lines, at_hand);
      for (int q = 0; q < count; ++q) {
        const std::int8_t* at = digits + static_cast<std::size_t>(q) * kDigits + key;
        const Quad high_quad = broadcast_quad(at);
        const Quad low_quad = broadcast_quad(at + kChunkKeys);
        for (int j = 0; j < vectors; ++j) {
          highs[q][j] = dot_values(highs[q][j], row[j], high_quad);
          lows[q][j] = dot_values(lows[q][j], row[j], low_quad);
          pin(highs[q][j]);
          pin(lows[q][j]);
        }
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

// All dimensions of `count` queries, at most kSharing.
TERN_INLINE void all_weighted_values_int8(const std::int8_t* digits, int count, const Int8Chunk& kv,
                                          std::size_t width, std::size_t end, AttentionState* parts,
                                          Fetch& fetch) {
  const int vectors = kDigitChains / count;
  const std::size_t pages = end / kPageKeys;
  for (std::size_t first = 0; first < pages; first += kValuePages) {
    const std::size_t some = pages - first < kValuePages ? pages - first : kValuePages;
    const Int8Page* page = kv.pages + first;
    const std::int8_t* at = digits + first * kPageKeys;
    std::size_t d = 0;
    for (; d + vectors * kLanes <= width; d += vectors * kLanes) {
      weighted_values_int8(at, count, page, some, width, d, vectors, parts, fetch);
    }
    for (; d < width; d += kLanes) {
      weighted_values_int8(at, count, page, some, width, d, 1, parts, fetch);
    }
  }
}

// As all_scores; `end` is whole pages.
TERN_INLINE void all_scores_int8(const Int8Query* queries, int count, float scale,
                                 const Int8Chunk& kv, std::size_t end, float* scores,
                                 Fetch& fetch) {
  constexpr int kScored = kChains / kKeyVectors;
  const int scored = count < kScored ? count : kScored;
  const std::size_t step = static_cast<std::size_t>(pages_together(scored)) * kPageKeys;
  for (std::size_t first = 0; first < end;) {
    const bool together = end - first > kPageKeys;
    const Int8Page* page = kv.pages + first / kPageKeys;
    const std::size_t left = together ? step : kPageKeys;
    Lines lines = take_lines(fetch, left / kPageKeys * ((kv.head_dim + kQuad - 1) / kQuad));
    for (int q = 0; q < count; q += scored, lines.step = 0) {
      float* to = scores + q * kChunkKeys + first;
      if (together) {
        page_scores_int8(queries + q, scored, scale, page, pages_together(scored), kv.head_dim, to,
                         lines);
      } else {
        page_scores_int8(queries + q, scored, scale, page, 1, kv.head_dim, to, lines);
      }
    }
    first += left;
  }
}

TERN_INLINE Fetch fetch_of(const Int8Chunk& kv, std::size_t pages, std::size_t width) {
  const std::size_t key_bytes = (kv.head_dim + kQuad - 1) / kQuad * kQuad * kPageKeys;
  const std::size_t scale_bytes = kPageKeys * sizeof(float);
  Fetch fetch;
  for (std::size_t i = 0; i < pages; ++i) add_run(fetch, kv.pages[i].keys, key_bytes);
  for (std::size_t i = 0; i < pages; ++i) add_run(fetch, kv.pages[i].values, width * kPageKeys);
  skip(fetch, kInt8LeadBytes);
  if (kv.next == nullptr) return fetch;
  const Int8Page* const next = kv.next;
  for (std::size_t i = 0; i < kPagesPerChunk; ++i) add_run(fetch, next[i].key_scales, scale_bytes);
  for (std::size_t i = 0; i < kPagesPerChunk; ++i)
    add_run(fetch, next[i].value_scales, scale_bytes);
  for (std::size_t i = 0; i < kPagesPerChunk; ++i) add_run(fetch, next[i].keys, key_bytes);
  return fetch;
}

TERN_INLINE void attend_together_int8(const Int8Query* queries, int count, float scale,
                                      const Int8Chunk& kv, AttentionState* parts) {
  float p[kMaxQueries * kChunkKeys];
  std::int8_t digits[kMaxQueries * kDigits];
  std::size_t most = 0;
  for (int q = 0; q < count; ++q) most = queries[q].keys > most ? queries[q].keys : most;
  const std::size_t end = (most + kPageKeys - 1) / kPageKeys * kPageKeys;
  const std::size_t width = (kv.head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
  Fetch fetch = fetch_of(kv, end / kPageKeys, width);
  all_scores_int8(queries, count, scale, kv, end, p, fetch);
  float units[kMaxQueries];
  softmax_digits(p, queries, static_cast<std::size_t>(count), kv.pages, end, digits, units, parts,
                 fetch);
  for (int q = 0; q < count; ++q) {
    for (std::size_t d = 0; d < width; d += kLanes) store(parts[q].out + d, splat(0.0f));
  }
  for (int q = 0; q < count; q += kSharing) {
    const int some = count < kSharing ? count : kSharing;
    all_weighted_values_int8(digits + q * kDigits, some, kv, width, end, parts + q, fetch);
  }
  fetch_rest(fetch);
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
