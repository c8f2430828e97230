// Attention over keys and values that are kept as int8 codes: dot products of integers, exact in
// any order, and the softmax of attention_body.h between them. How a tier keeps weights of 14 bits
// and multiplies values by them is its own affair; bodies.h names the words.
#pragma once

#include "kernels/generic/attention_body.h"

inline constexpr std::size_t kVectorCodes = kLanes * kQuad;
inline constexpr std::size_t kInt8LeadBytes = 28672;   // as kLeadBytes
inline constexpr int kOutputs = kChains / kValueSums;  // vectors of them in registers
inline constexpr int kSharing = kOutputs / 2;          // queries in a pass of many: two for each
// Pages whose weighted values are summed up in registers before the sums go to memory.
inline constexpr std::size_t kValuePages = 4;

// Queries in a pass over keys: four or more where there are so many, for which a pass takes fewer
// keys of a page.
inline constexpr int kScored = kChains / kKeyVectors > 4 ? kChains / kKeyVectors : 4;

// Vectors of a page's keys in a pass of so many.
constexpr int key_vectors(int queries) {
  return kChains / queries < kKeyVectors ? kChains / queries : kKeyVectors;
}

TERN_INLINE void add_keys(Ints& sum, Quad query, Codes keys) {
  sum = dot_keys(sum, keys, query);
  pin(sum);
}

// As page_scores, of int8 keys, for kVectors vectors of the keys of each page, from `first` on.
template <int kQueries, int kPages, int kVectors>
__attribute__((noinline)) void page_scores_int8(const Int8Query* queries, float scale,
                                                const Int8Page* page, std::size_t first,
                                                std::size_t head_dim, float* scores, Lines lines) {
  Ints sums[kQueries][kPages * kVectors];
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 16
    for (int i = 0; i < kPages * kVectors; ++i) sums[q][i] = splat_ints(-kKeyBias * queries[q].sum);
  }
  for (std::size_t d = 0; d < head_dim; d += kQuad) {
    fetch_lines(lines, kPages);
    const auto query = [&](int q) { return broadcast_quad(queries[q].codes + d); };
    const auto keys = [&](int i) {
      const std::int8_t* from = page[i / kVectors].keys + d * kPageKeys + first * kQuad;
      return load_keys(from + i % kVectors * kVectorCodes);
    };
    add_products(query, keys, add_keys, sums);
  }
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q) {
    float* row = scores + static_cast<std::size_t>(q) * kChunkKeys + first;
    const Vec factor = splat(queries[q].scale * scale);
#pragma GCC unroll 16
    for (int i = 0; i < kPages * kVectors; ++i) {
      const std::size_t key = i % kVectors * kLanes;
      const Vec unit = mul(load(page[i / kVectors].key_scales + first + key), factor);
      store(row + i / kVectors * kPageKeys + key, mul(to_floats(sums[q][i]), unit));
    }
  }
}

// Of the weights of a query, as store_weights leaves them.
inline constexpr std::size_t kWeightBytes = 2 * kChunkKeys;

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

// What is scaled in units of a 16383rd of its maximum, up to softmax_keys(end). Returns the unit.
TERN_INLINE float round_weights(const float* p, std::size_t end, float maximum,
                                std::int8_t* weights, Fetch& fetch) {
  const Vec factor = splat(maximum > 0.0f ? kWeightRange / maximum : 0.0f);
  Lines lines = take_lines(fetch, kFetchedByLess * kChunkKeys / kLanes);
  for (std::size_t key = 0; key < end; key += kSumLanes) {
    Ints rounded[kRegisters];
    for (int j = 0; j < kRegisters; ++j) {
      rounded[j] = nearest_ints(mul(load(p + key + static_cast<std::size_t>(j * kLanes)), factor));
      fetch_lines(lines, kFetchedByLess);
    }
    store_weights(weights, key, rounded);
  }
  return maximum / kWeightRange;
}

// Scores p[q * kChunkKeys + key] of queries to weights + q * kWeightBytes, in units[q]. Step by
// step for all queries: what ends a step of one has to wait, and the others need not.
TERN_INLINE void softmax_int8(float* p, const Int8Query* queries, std::size_t count,
                              const Int8Page* pages, std::size_t end, std::int8_t* weights,
                              float* units, AttentionState* parts, Fetch& fetch) {
  for (std::size_t q = 0; q < count; ++q) {
    parts[q].maximum = largest_score(p + q * kChunkKeys, queries[q].keys, fetch);
  }
  for (std::size_t q = 0; q < count; ++q) {
    const ScaledWeights scaled =
        scaled_weights_of(p + q * kChunkKeys, queries[q].keys, end, parts[q].maximum, pages, fetch);
    parts[q].sum = scaled.sum;
    units[q] = scaled.largest;
  }
  for (std::size_t q = 0; q < count; ++q) {
    units[q] = round_weights(p + q * kChunkKeys, end, units[q], weights + q * kWeightBytes, fetch);
  }
}

// Some pages of a chunk, of which key `first` is the first.
struct Int8Values {
  const Int8Page* page;
  std::size_t pages;
  std::size_t first;
  std::size_t width;
};

// out[q][d, d + kVectors * kLanes), which holds integers, += P[q][key] * V[key] for the keys of
// some pages.
template <int kQueries, int kVectors>
__attribute__((noinline)) void weighted_values_int8(const std::int8_t* weights,
                                                    const Int8Values& kv, std::size_t d,
                                                    AttentionState* parts, Fetch& fetch) {
  ValueSums sums[kQueries][kVectors];
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) sums[q][i] = value_sums_zero();
  }
  constexpr std::size_t kAtHand = lines_of(kVectors * kVectorCodes);
  const std::size_t width = kv.width;
  std::size_t first = kv.first;
  for (std::size_t page = 0; page < kv.pages; ++page, first += kPageKeys) {
    const std::int8_t* values = kv.page[page].values + d * kQuad;
    Lines lines = take_lines(fetch, kAtHand * kPageKeys / kQuad);
    for (std::size_t key = 0; key < kPageKeys; key += kQuad) {
      fetch_lines(lines, kAtHand);
      const auto weight = [&](int q) {
        return load_weights(weights + q * kWeightBytes, first + key);
      };
      const auto value = [&](int i) {
        return value_codes(load_values(values + key * width + i * kVectorCodes));
      };
      add_products(weight, value, add_values, sums);
    }
  }
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) {
      float* out = parts[q].out + d + i * kLanes;
      store(out, from_bits(add_ints(bits(load(out)), value_total(sums[q][i]))));
    }
  }
}

// All dimensions of kQueries queries, at most kSharing.
template <int kQueries>
TERN_INLINE void all_weighted_values_int8(const std::int8_t* weights, const Int8Chunk& kv,
                                          std::size_t width, std::size_t end, AttentionState* parts,
                                          Fetch& fetch) {
  constexpr int kVectors = kOutputs / kQueries;
  const std::size_t pages = end / kPageKeys;
  for (std::size_t first = 0; first < pages; first += kValuePages) {
    const std::size_t some = pages - first < kValuePages ? pages - first : kValuePages;
    const Int8Values values = {kv.pages + first, some, first * kPageKeys, width};
    std::size_t d = 0;
    for (; d + kVectors * kLanes <= width; d += kVectors * kLanes) {
      weighted_values_int8<kQueries, kVectors>(weights, values, d, parts, fetch);
    }
    for (; d < width; d += kLanes) {
      weighted_values_int8<kQueries, 1>(weights, values, d, parts, fetch);
    }
  }
}

// Scores of all queries over one or two pages. Only the first pass fetches.
template <int kQueries, int kPages>
TERN_INLINE void scores_of_pages_int8(const Int8Query* queries, float scale, const Int8Page* page,
                                      std::size_t head_dim, float* scores, Lines lines) {
  constexpr int kPassing = kQueries < kScored ? kQueries : kScored;
  constexpr int kVectors = key_vectors(kPassing);
  for (int q = 0; q < kQueries; q += kPassing) {
    for (std::size_t first = 0; first < kPageKeys; first += kVectors * kLanes, lines.step = 0) {
      page_scores_int8<kPassing, kPages, kVectors>(queries + q, scale, page, first, head_dim,
                                                   scores + q * kChunkKeys, lines);
    }
  }
}

// As all_scores; `end` is whole pages.
template <int kQueries>
TERN_INLINE void all_scores_int8(const Int8Query* queries, float scale, const Int8Chunk& kv,
                                 std::size_t end, float* scores, Fetch& fetch) {
  constexpr int kPages = pages_together(kQueries < kScored ? kQueries : kScored);
  for (std::size_t first = 0; first < end;) {
    const bool together = end - first > kPageKeys;  // or a single page is left
    const Int8Page* page = kv.pages + first / kPageKeys;
    const std::size_t some = together ? kPages : 1;
    const Lines lines = take_lines(fetch, some * ((kv.head_dim + kQuad - 1) / kQuad));
    if (together) {
      scores_of_pages_int8<kQueries, kPages>(queries, scale, page, kv.head_dim, scores + first,
                                             lines);
    } else {
      scores_of_pages_int8<kQueries, 1>(queries, scale, page, kv.head_dim, scores + first, lines);
    }
    first += some * kPageKeys;
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

template <int kQueries>
TERN_INLINE void attend_together_int8(const Int8Query* queries, float scale, const Int8Chunk& kv,
                                      AttentionState* parts) {
  constexpr int kShared = kQueries < kSharing ? kQueries : kSharing;
  float p[kQueries * kChunkKeys];
  std::int8_t weights[kQueries * kWeightBytes];
  std::size_t most = 0;
  for (int q = 0; q < kQueries; ++q) most = queries[q].keys > most ? queries[q].keys : most;
  const std::size_t end = (most + kPageKeys - 1) / kPageKeys * kPageKeys;
  const std::size_t width = (kv.head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
  Fetch fetch = fetch_of(kv, end / kPageKeys, width);
  all_scores_int8<kQueries>(queries, scale, kv, end, p, fetch);
  float units[kQueries];
  softmax_int8(p, queries, kQueries, kv.pages, end, weights, units, parts, fetch);
  for (int q = 0; q < kQueries; ++q) {
    for (std::size_t d = 0; d < width; d += kLanes) store(parts[q].out + d, splat(0.0f));
  }
  for (int q = 0; q < kQueries; q += kShared) {
    all_weighted_values_int8<kShared>(weights + q * kWeightBytes, kv, width, end, parts + q, fetch);
  }
  fetch_rest(fetch);
  for (int q = 0; q < kQueries; ++q) {
    for (std::size_t d = 0; d < width; d += kLanes) {
      float* out = parts[q].out + d;
      store(out, mul(to_floats(bits(load(out))), splat(units[q])));
    }
  }
}

void attention_chunk_int8(const Int8Query* queries, std::size_t count, float scale,
                          const Int8Chunk& kv, AttentionState* parts) {
  std::size_t q = 0;
  for (; q + 8 <= count; q += 8) attend_together_int8<8>(queries + q, scale, kv, parts + q);
  for (; q + 4 <= count; q += 4) attend_together_int8<4>(queries + q, scale, kv, parts + q);
  for (; q + 2 <= count; q += 2) attend_together_int8<2>(queries + q, scale, kv, parts + q);
  for (; q < count; ++q) attend_together_int8<1>(queries + q, scale, kv, parts + q);
}
