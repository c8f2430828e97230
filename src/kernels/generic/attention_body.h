// Attention of several queries over one chunk of keys and values, which are widened once for all.
// The tier says in kChains how many accumulators its registers hold.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr int kKeyVectors = static_cast<int>(kPageKeys) / kLanes;
inline constexpr int kValueVectors = static_cast<int>(kValueAlign) / kLanes;

static_assert(kChains >= static_cast<int>(kMaxQueries) && kChains % kKeyVectors == 0);

// Asks for what follows kFetchAhead behind the `bytes` bytes at hand: the pages of a chunk stand
// one after the other, and so do the chunks of neighbouring heads.
inline constexpr std::size_t kFetchAhead = 8192;
TERN_INLINE void fetch_behind(const void* from, std::size_t bytes) {
  const char* at = static_cast<const char*>(from) + kFetchAhead;
#pragma GCC unroll 16
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i, 0, 3);
}

// Scores of one page of keys, whatever its fill: K is dimension-major, so each key is one lane.
// scores[q * kChunkKeys + key].
TERN_INLINE void page_scores(const AttentionQuery* queries, int count, float scale,
                             const std::uint16_t* page, std::size_t head_dim, float* scores) {
  Vec chains[kMaxQueries][kKeyVectors];
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < kKeyVectors; ++j) chains[q][j] = splat(0.0f);
  }
  for (std::size_t d = 0; d < head_dim; ++d) {
    Vec keys[kKeyVectors];
    for (int j = 0; j < kKeyVectors; ++j) keys[j] = load_f16(page + d * kPageKeys + j * kLanes);
    fetch_behind(page + d * kPageKeys, kPageKeys * sizeof *page);
    for (int q = 0; q < count; ++q) {
      const Vec query = splat(queries[q].q[d]);
      for (int j = 0; j < kKeyVectors; ++j) chains[q][j] = fmadd(query, keys[j], chains[q][j]);
    }
  }
  for (int q = 0; q < count; ++q) {
    float* row = scores + static_cast<std::size_t>(q) * kChunkKeys;
    for (int j = 0; j < kKeyVectors; ++j) store(row + j * kLanes, mul(chains[q][j], splat(scale)));
  }
}

// out[q][d, d + vectors * kLanes) += p[q][key] * V[key] for keys [first, last) of a page in turn:
// one chain an output.
TERN_INLINE void weighted_values(const float* p, int count, const std::uint16_t* values,
                                 std::size_t width, std::size_t d, int vectors, std::size_t first,
                                 std::size_t last, AttentionState* parts) {
  Vec chains[kMaxQueries][kChains];
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < vectors; ++j) chains[q][j] = load(parts[q].out + d + j * kLanes);
  }
  for (std::size_t key = first; key < last; ++key) {
    Vec row[kChains];
    for (int j = 0; j < vectors; ++j) row[j] = load_f16(values + key * width + d + j * kLanes);
    fetch_behind(values + key * width + d,
                 static_cast<std::size_t>(vectors * kLanes) * sizeof *values);
    for (int q = 0; q < count; ++q) {
      const Vec weight = splat(p[static_cast<std::size_t>(q) * kChunkKeys + key]);
      for (int j = 0; j < vectors; ++j) chains[q][j] = fmadd(weight, row[j], chains[q][j]);
    }
  }
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < vectors; ++j) store(parts[q].out + d + j * kLanes, chains[q][j]);
  }
}

// Keys [first, last) of the chunk, page by page, so that a page is in the nearest cache when the
// next strip of dimensions reads it; every register that is left widens the strip.
TERN_INLINE void all_weighted_values(const float* p, int count, const KeyValueChunk& kv,
                                     std::size_t width, std::size_t first, std::size_t last,
                                     AttentionState* parts) {
  const int vectors = kChains / count;
  for (std::size_t start = first / kPageKeys * kPageKeys; start < last; start += kPageKeys) {
    const std::size_t page = start / kPageKeys;
    const std::uint16_t* values = kv.pages[page].values;
    const std::size_t from = first > start ? first - start : 0;
    const std::size_t to = last - start < kPageKeys ? last - start : kPageKeys;
    const float* weights = p + start;
    std::size_t d = 0;
    for (; d + vectors * kLanes <= width; d += vectors * kLanes) {
      weighted_values(weights, count, values, width, d, vectors, from, to, parts);
    }
    for (; d < width; d += kLanes) {
      weighted_values(weights, count, values, width, d, 1, from, to, parts);
    }
  }
}

// Scores to weights exp(s - maximum), in place; their maximum and their sum.
TERN_INLINE void softmax_chunk(float* p, std::size_t keys, AttentionState* part) {
  Vec largest = splat(-__builtin_inff());
  std::size_t key = 0;
  for (; key + kLanes <= keys; key += kLanes) {
    const Vec s = load(p + key);
    largest = where_less(largest, s, s, largest);
  }
  float lanes[kSumLanes];
  store(lanes, largest);
  float maximum = -__builtin_inff();
  for (int i = 0; i < kLanes; ++i) maximum = lanes[i] > maximum ? lanes[i] : maximum;
  for (; key < keys; ++key) maximum = p[key] > maximum ? p[key] : maximum;
  for (key = 0; key < keys; key += kLanes) {
    store(p + key, exp_of(sub(load(p + key), splat(maximum))));
  }
  Sum64 sum = sum_zero();
  for (key = 0; key + kSumLanes <= keys; key += kSumLanes) {
    for (int j = 0; j < kRegisters; ++j) {
      sum.lanes[j] = add(sum.lanes[j], load(p + key + static_cast<std::size_t>(j * kLanes)));
    }
  }
  part->maximum = maximum;
  if (key == keys) {
    part->sum = sum_total(sum);
    return;
  }
  for (int j = 0; j < kRegisters; ++j) store(lanes + j * kLanes, sum.lanes[j]);
  for (std::size_t i = 0; key + i < keys; ++i) lanes[i] = lanes[i] + p[key + i];
  part->sum = tree_of(lanes, kSumLanes);
}

// `count` is a constant where this is inlined.
TERN_INLINE void attend_together(const AttentionQuery* queries, int count, float scale,
                                 const KeyValueChunk& kv, AttentionState* parts) {
  constexpr int kScored = kChains / kKeyVectors;  // queries that one pass over a page can take
  const int scored = count < kScored ? count : kScored;
  float p[kMaxQueries * kChunkKeys];
  std::size_t most = 0;
  std::size_t common = kChunkKeys;  // keys that every query sees
  for (int q = 0; q < count; ++q) {
    most = queries[q].keys > most ? queries[q].keys : most;
    common = queries[q].keys < common ? queries[q].keys : common;
  }
  for (std::size_t first = 0; first < most; first += kPageKeys) {
    const KeyValuePage& page = kv.pages[first / kPageKeys];
    for (int q = 0; q < count; q += scored) {
      page_scores(queries + q, scored, scale, page.keys, kv.head_dim, p + q * kChunkKeys + first);
    }
  }
  const std::size_t width = (kv.head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
  for (int q = 0; q < count; ++q) {
    softmax_chunk(p + q * kChunkKeys, queries[q].keys, &parts[q]);
    for (std::size_t d = 0; d < width; d += kLanes) store(parts[q].out + d, splat(0.0f));
  }
  all_weighted_values(p, count, kv, width, 0, common, parts);
  for (int q = 0; q < count; ++q) {
    if (queries[q].keys == common) continue;
    all_weighted_values(p + q * kChunkKeys, 1, kv, width, common, queries[q].keys, parts + q);
  }
}

void attention_chunk(const AttentionQuery* queries, std::size_t count, float scale,
                     const KeyValueChunk& kv, AttentionState* parts) {
  std::size_t q = 0;
  for (; q + 8 <= count; q += 8) attend_together(queries + q, 8, scale, kv, parts + q);
  for (; q + 4 <= count; q += 4) attend_together(queries + q, 4, scale, kv, parts + q);
  for (; q + 2 <= count; q += 2) attend_together(queries + q, 2, scale, kv, parts + q);
  for (; q < count; ++q) attend_together(queries + q, 1, scale, kv, parts + q);
}

void attention_fold(const AttentionState& part, std::size_t head_dim, AttentionState* total) {
  const float maximum = part.maximum > total->maximum ? part.maximum : total->maximum;
  const float a = exp_of_one(total->maximum - maximum);
  const float b = exp_of_one(part.maximum - maximum);
  total->maximum = maximum;
  total->sum = fma1(total->sum, a, part.sum * b);
  for (std::size_t d = 0; d < head_dim; d += kLanes) {  // states are padded to kValueAlign
    store(total->out + d, fmadd(load(total->out + d), splat(a), mul(load(part.out + d), splat(b))));
  }
}

void attention_output(const AttentionState& total, std::size_t head_dim, float* y) {
  std::size_t d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) {
    store(y + d, div(load(total.out + d), splat(total.sum)));
  }
  for (; d < head_dim; ++d) y[d] = total.out[d] / total.sum;
}
