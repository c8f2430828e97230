// Attention of several queries over one chunk of keys and values, which are widened once for all.
// The tier says in kChains how many accumulators a pass of up to kMaxQueries queries has, and in
// kTogether how many queries share one at most.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr int kKeyVectors = static_cast<int>(kPageKeys) / kLanes;

static_assert(kChains >= static_cast<int>(kMaxQueries) && kChains % kKeyVectors == 0);
static_assert(kTogether >= static_cast<int>(kMaxQueries));

// Accumulators of so many queries: kChains, or, of more than kMaxQueries, a page of scores each.
constexpr int chains_of(int queries) {
  return queries > static_cast<int>(kMaxQueries) ? queries * kKeyVectors : kChains;
}

// What this call and the next one read, in the order in which they do, from some way ahead. It is
// asked for in equal steps while this one computes, its softmax included, so that memory is never
// left idle, and never asked for more than it gives, or what the second cache holds would have to
// wait, too. A loop takes all the lines that it will ask for before it begins, and runs over the
// end of what stands together in memory rather than look at each step.
struct Fetch {
  struct Run {
    const char* at;
    const char* end;
  };
  Run runs[6 * kPagesPerChunk];
  std::size_t count = 0;  // of runs
  std::size_t next = 0;   // run
  const char* at = nullptr;
  const char* end = nullptr;
};

// Lines in a row; without a step it is the same one again.
struct Lines {
  const char* at;
  std::size_t step;
};

inline constexpr std::size_t kLineBytes = 64;
// How far ahead: loops over keys take half of the bytes in less than half of the time.
inline constexpr std::size_t kLeadBytes = 16384;
// Lines that a step of the softmax asks for.
inline constexpr std::size_t kFetchedBySoftmax = (2 * kLanes + 15) / 16;
inline constexpr std::size_t kFetchedByLess = kLanes / 16;  // by one that does less

TERN_INLINE std::size_t lines_of(std::size_t bytes) {
  return (bytes + kLineBytes - 1) / kLineBytes;
}

TERN_INLINE void add_run(Fetch& fetch, const void* from, std::size_t bytes) {
  const char* at = static_cast<const char*>(from);
  if (fetch.count > 0 && fetch.runs[fetch.count - 1].end == at) {
    fetch.runs[fetch.count - 1].end += bytes;
  } else {
    fetch.runs[fetch.count++] = {at, at + bytes};
  }
}

TERN_INLINE void skip(Fetch& fetch, std::size_t bytes) {
  for (; fetch.next < fetch.count; ++fetch.next) {
    Fetch::Run& run = fetch.runs[fetch.next];
    const auto length = static_cast<std::size_t>(run.end - run.at);
    if (bytes < length) {
      run.at += bytes;
      return;
    }
    bytes -= length;
  }
}

TERN_INLINE Lines take_lines(Fetch& fetch, std::size_t count) {
  if (fetch.at >= fetch.end) {
    if (fetch.next == fetch.count) return {fetch.at, 0};
    fetch.at = fetch.runs[fetch.next].at;
    fetch.end = fetch.runs[fetch.next++].end;
  }
  const char* at = fetch.at;
  fetch.at += count * kLineBytes;
  return {at, kLineBytes};
}

// Into the second cache: lines on their way to the first one take the few places in which it waits
// for others, and those that are there too early push out what is in use.
TERN_INLINE void fetch_lines(Lines& lines, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    __builtin_prefetch(lines.at, 0, 2);
    lines.at += lines.step;
  }
}

// What the steps have left over.
TERN_INLINE void fetch_rest(Fetch& fetch) {
  for (Lines lines = take_lines(fetch, 1); lines.step != 0; lines = take_lines(fetch, 1)) {
    fetch_lines(lines, 1);
  }
}

// Pages of keys that are scored together: those for which there are registers, and no more than
// two, for pages lie at like places of the first cache.
constexpr int pages_together(int queries) { return 2 * queries * kKeyVectors <= kChains ? 2 : 1; }

// Scores of one or two pages of keys, whatever their fill: K is dimension-major, so each key is one
// lane. scores[q * kChunkKeys + key].
TERN_INLINE void page_scores(const AttentionQuery* queries, int count, float scale,
                             const KeyValuePage* page, int pages, std::size_t head_dim,
                             float* scores, Lines lines) {
  Vec chains[kTogether][2][kKeyVectors];
  for (int q = 0; q < count; ++q) {
    for (int i = 0; i < pages; ++i) {
      for (int j = 0; j < kKeyVectors; ++j) chains[q][i][j] = splat(0.0f);
    }
  }
  for (std::size_t d = 0; d < head_dim; ++d) {
    Vec keys[2][kKeyVectors];
    for (int i = 0; i < pages; ++i) {
      for (int j = 0; j < kKeyVectors; ++j) {
        keys[i][j] = load_f16(page[i].keys + d * kPageKeys + j * kLanes);
      }
    }
    fetch_lines(lines, static_cast<std::size_t>(pages));
    for (int q = 0; q < count; ++q) {
      const Vec query = splat(queries[q].q[d]);
      for (int i = 0; i < pages; ++i) {
        for (int j = 0; j < kKeyVectors; ++j) {
          chains[q][i][j] = fmadd(query, keys[i][j], chains[q][i][j]);
        }
      }
    }
  }
  for (int q = 0; q < count; ++q) {
    float* row = scores + static_cast<std::size_t>(q) * kChunkKeys;
    for (int i = 0; i < pages; ++i, row += kPageKeys) {
      for (int j = 0; j < kKeyVectors; ++j) {
        store(row + j * kLanes, mul(chains[q][i][j], splat(scale)));
      }
    }
  }
}

// Scores of all queries over the pages of `keys` keys. `count` is a constant where this is inlined.
TERN_INLINE void all_scores(const AttentionQuery* queries, int count, float scale,
                            const KeyValueChunk& kv, std::size_t keys, float* scores,
                            Fetch& fetch) {
  const int most = chains_of(count) / kKeyVectors;  // queries that one pass over a page can take
  const int scored = count < most ? count : most;
  const std::size_t step = static_cast<std::size_t>(pages_together(scored)) * kPageKeys;
  for (std::size_t first = 0; first < keys;) {
    const bool together = keys - first > kPageKeys;  // or a single page is left
    const KeyValuePage* page = kv.pages + first / kPageKeys;
    const std::size_t left = together ? step : kPageKeys;
    Lines lines = take_lines(fetch, left / kPageKeys * kv.head_dim);
    for (int q = 0; q < count; q += scored, lines.step = 0) {
      float* to = scores + q * kChunkKeys + first;
      if (together) {
        page_scores(queries + q, scored, scale, page, pages_together(scored), kv.head_dim, to,
                    lines);
      } else {
        page_scores(queries + q, scored, scale, page, 1, kv.head_dim, to, lines);
      }
    }
    first += left;
  }
}

// out[q][d, d + vectors * kLanes) += p[q][key] * V[key] for keys [first, last) of a page in turn:
// one chain an output.
TERN_INLINE void weighted_values(const float* p, int count, const std::uint16_t* values,
                                 std::size_t width, std::size_t d, int vectors, std::size_t first,
                                 std::size_t last, AttentionState* parts, Fetch& fetch) {
  Vec chains[kTogether][kChains];
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < vectors; ++j) chains[q][j] = load(parts[q].out + d + j * kLanes);
  }
  const std::size_t at_hand = lines_of(static_cast<std::size_t>(vectors * kLanes) * sizeof *values);
  Lines lines = take_lines(fetch, at_hand * (last - first));
  for (std::size_t key = first; key < last; ++key) {
    Vec row[kChains];
    for (int j = 0; j < vectors; ++j) row[j] = load_f16(values + key * width + d + j * kLanes);
    fetch_lines(lines, at_hand);
    for (int q = 0; q < count; ++q) {
      const Vec weight = splat(p[static_cast<std::size_t>(q) * kChunkKeys + key]);
      for (int j = 0; j < vectors; ++j) chains[q][j] = fmadd(weight, row[j], chains[q][j]);
    }
  }
  for (int q = 0; q < count; ++q) {
    for (int j = 0; j < vectors; ++j) store(parts[q].out + d + j * kLanes, chains[q][j]);
  }
}

// Keys [first, last) of the chunk, page by page, so that memory is read in its order; every
// register that is left widens the strip of dimensions.
TERN_INLINE void all_weighted_values(const float* p, int count, const KeyValueChunk& kv,
                                     std::size_t width, std::size_t first, std::size_t last,
                                     AttentionState* parts, Fetch& fetch) {
  const int vectors = chains_of(count) / count;
  for (std::size_t start = first / kPageKeys * kPageKeys; start < last; start += kPageKeys) {
    const std::uint16_t* values = kv.pages[start / kPageKeys].values;
    const std::size_t from = first > start ? first - start : 0;
    const std::size_t to = last - start < kPageKeys ? last - start : kPageKeys;
    const float* weights = p + start;
    std::size_t d = 0;
    for (; d + vectors * kLanes <= width; d += vectors * kLanes) {
      weighted_values(weights, count, values, width, d, vectors, from, to, parts, fetch);
    }
    for (; d < width; d += kLanes) {
      weighted_values(weights, count, values, width, d, 1, from, to, parts, fetch);
    }
  }
}

// The softmax of a chunk takes scores in whole groups of the sum rule.
constexpr std::size_t softmax_keys(std::size_t keys) {
  return (keys + kSumLanes - 1) / kSumLanes * kSumLanes;
}

// The largest of the first `keys` scores. Behind them come scores whose weights are zeros, and to
// add these changes no sum.
TERN_INLINE float largest_score(float* p, std::size_t keys, Fetch& fetch) {
  const std::size_t end = softmax_keys(keys);
  Lines lines = take_lines(fetch, kFetchedByLess * (kChunkKeys - kSumLanes) / kLanes);
  for (std::size_t key = keys; key < end; ++key) p[key] = -__builtin_inff();
  Vec largest[kRegisters];  // several, or each would wait for the one before
  for (int j = 0; j < kRegisters; ++j) largest[j] = load(p + j * kLanes);
  for (std::size_t key = kSumLanes; key < end; key += kSumLanes) {
    for (int j = 0; j < kRegisters; ++j) {
      largest[j] = larger(largest[j], load(p + key + static_cast<std::size_t>(j * kLanes)));
      fetch_lines(lines, kFetchedByLess);
    }
  }
  for (int j = 1; j < kRegisters; ++j) largest[0] = larger(largest[0], largest[j]);
  return fold_lanes(largest[0], larger);
}

// Scores to weights exp(s - maximum), in place; their sum.
TERN_INLINE float weights_of(float* p, std::size_t keys, float maximum, Fetch& fetch) {
  const std::size_t end = softmax_keys(keys);
  Lines lines = take_lines(fetch, kFetchedBySoftmax * kChunkKeys / kLanes);
  Sum64 sum = sum_zero();
  for (std::size_t key = 0; key < end; key += kSumLanes) {
    for (int j = 0; j < kRegisters; ++j) {
      float* const at = p + key + static_cast<std::size_t>(j * kLanes);
      const Vec weights = exp_below_high(sub(load(at), splat(maximum)));
      store(at, weights);
      sum.lanes[j] = add(sum.lanes[j], weights);
      fetch_lines(lines, kFetchedBySoftmax);
    }
  }
  return sum_total(sum);
}

TERN_INLINE Fetch fetch_of(const KeyValueChunk& kv, std::size_t pages, std::size_t width) {
  const std::size_t unit = kPageKeys * sizeof(std::uint16_t);
  Fetch fetch;
  for (std::size_t i = 0; i < pages; ++i) add_run(fetch, kv.pages[i].keys, kv.head_dim * unit);
  for (std::size_t i = 0; i < pages; ++i) add_run(fetch, kv.pages[i].values, width * unit);
  skip(fetch, kLeadBytes);
  if (kv.next == nullptr) return fetch;
  for (std::size_t i = 0; i < kPagesPerChunk; ++i) {
    add_run(fetch, kv.next[i].keys, kv.head_dim * unit);
  }
  return fetch;
}

// `count` is a constant where this is inlined.
TERN_INLINE void attend_together(const AttentionQuery* queries, int count, float scale,
                                 const KeyValueChunk& kv, AttentionState* parts) {
  float p[kTogether * kChunkKeys];
  std::size_t most = 0;
  std::size_t common = kChunkKeys;  // keys that every query sees
  for (int q = 0; q < count; ++q) {
    most = queries[q].keys > most ? queries[q].keys : most;
    common = queries[q].keys < common ? queries[q].keys : common;
  }
  const std::size_t width = (kv.head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
  Fetch fetch = fetch_of(kv, (most + kPageKeys - 1) / kPageKeys, width);
  all_scores(queries, count, scale, kv, most, p, fetch);
  for (int q = 0; q < count; ++q) {
    parts[q].maximum = largest_score(p + q * kChunkKeys, queries[q].keys, fetch);
    for (std::size_t d = 0; d < width; d += kLanes) store(parts[q].out + d, splat(0.0f));
  }
  for (int q = 0; q < count; ++q) {
    parts[q].sum = weights_of(p + q * kChunkKeys, queries[q].keys, parts[q].maximum, fetch);
  }
  all_weighted_values(p, count, kv, width, 0, common, parts, fetch);
  for (int q = 0; q < count; ++q) {
    if (queries[q].keys == common) continue;
    all_weighted_values(p + q * kChunkKeys, 1, kv, width, common, queries[q].keys, parts + q,
                        fetch);
  }
}

void attention_chunk(const AttentionQuery* queries, std::size_t count, float scale,
                     const KeyValueChunk& kv, AttentionState* parts) {
  std::size_t q = 0;
  if constexpr (kTogether > static_cast<int>(kMaxQueries)) {
    for (; q + kTogether <= count; q += kTogether) {
      attend_together(queries + q, kTogether, scale, kv, parts + q);
    }
  }
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
