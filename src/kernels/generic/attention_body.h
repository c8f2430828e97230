// Attention of several queries over one chunk of keys and values, which are widened once for those
// of a pass. The tier says in kTogether how many queries are computed together at most, in kChains
// how many accumulators a pass has, in kManyChains how many at most where kMaxQueries or more are
// together, and in kValueQueries how many of these share a pass over values.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr int kKeyVectors = static_cast<int>(kPageKeys) / kLanes;

static_assert(kChains >= static_cast<int>(kMaxQueries) && kChains % kKeyVectors == 0);
static_assert(kManyChains >= kValueQueries && kManyChains % kKeyVectors == 0);
static_assert(kTogether >= static_cast<int>(kMaxQueries));

constexpr bool are_many(int queries) { return queries >= static_cast<int>(kMaxQueries); }

// Accumulators of a pass where so many queries are together.
constexpr int chains_of(int queries) {
  if (!are_many(queries)) return kChains;
  const int pages_of_scores = queries * kKeyVectors;
  return pages_of_scores < kManyChains ? pages_of_scores : kManyChains;
}

// How many of them share a pass over keys.
constexpr int sharing_keys(int queries) {
  const int most = chains_of(queries) / kKeyVectors;
  return queries < most ? queries : most;
}

// And one over values.
constexpr int sharing_values(int queries) {
  return are_many(queries) && queries > kValueQueries ? kValueQueries : queries;
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

constexpr std::size_t lines_of(std::size_t bytes) { return (bytes + kLineBytes - 1) / kLineBytes; }

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

// add(sums[q][i], factor(q), vector(i)) for each q and i. Those of which there are fewer stay in
// registers while the others pass by.
template <int kQueries, int kVectors, typename Factor, typename Vector, typename Add, typename Sum>
TERN_INLINE void add_products(Factor factor, Vector vector, Add add,
                              Sum (&sums)[kQueries][kVectors]) {
  if constexpr (kQueries < kVectors) {
    decltype(factor(0)) factors[kQueries];
#pragma GCC unroll 16
    for (int q = 0; q < kQueries; ++q) factors[q] = factor(q);
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) {
      const auto one = vector(i);
#pragma GCC unroll 16
      for (int q = 0; q < kQueries; ++q) add(sums[q][i], factors[q], one);
    }
  } else {
    decltype(vector(0)) vectors[kVectors];
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) vectors[i] = vector(i);
#pragma GCC unroll 16
    for (int q = 0; q < kQueries; ++q) {
      const auto one = factor(q);
#pragma GCC unroll 16
      for (int i = 0; i < kVectors; ++i) add(sums[q][i], one, vectors[i]);
    }
  }
}

TERN_INLINE void add_product(Vec& sum, Vec a, Vec b) { sum = fmadd(a, b, sum); }

// Scores of one or two pages of keys, whatever their fill: K is dimension-major, so each key is one
// lane. scores[q * kChunkKeys + key]. A function of its own, and so are weighted_values: among
// others the compiler would not keep all in registers.
template <int kQueries, int kPages>
__attribute__((noinline)) void page_scores(const AttentionQuery* queries, float scale,
                                           const KeyValuePage* page, std::size_t head_dim,
                                           float* scores, Lines lines) {
  constexpr int kVectors = kPages * kKeyVectors;
  Vec chains[kQueries][kVectors];
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) chains[q][i] = splat(0.0f);
  }
  for (std::size_t d = 0; d < head_dim; ++d) {
    fetch_lines(lines, kPages);
    const auto query = [&](int q) { return splat(queries[q].q[d]); };
    const auto keys = [&](int i) {
      const std::uint16_t* from = page[i / kKeyVectors].keys + d * kPageKeys;
      return load_f16(from + i % kKeyVectors * kLanes);
    };
    add_products(query, keys, add_product, chains);
  }
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q) {
    float* row = scores + static_cast<std::size_t>(q) * kChunkKeys;
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) store(row + i * kLanes, mul(chains[q][i], splat(scale)));
  }
}

// Scores of all queries over one or two pages. Only the first pass fetches.
template <int kQueries, int kPages>
TERN_INLINE void scores_of_pages(const AttentionQuery* queries, float scale,
                                 const KeyValuePage* page, std::size_t head_dim, float* scores,
                                 Lines lines) {
  constexpr int kSome = sharing_keys(kQueries);
  int q = 0;
  for (; q + kSome <= kQueries; q += kSome, lines.step = 0) {
    page_scores<kSome, kPages>(queries + q, scale, page, head_dim, scores + q * kChunkKeys, lines);
  }
  if constexpr (kQueries % kSome > 0) {
    page_scores<kQueries % kSome, kPages>(queries + q, scale, page, head_dim,
                                          scores + q * kChunkKeys, lines);
  }
}

// Scores of all queries over the pages of `keys` keys.
template <int kQueries>
TERN_INLINE void all_scores(const AttentionQuery* queries, float scale, const KeyValueChunk& kv,
                            std::size_t keys, float* scores, Fetch& fetch) {
  constexpr int kPages = pages_together(sharing_keys(kQueries));
  for (std::size_t first = 0; first < keys;) {
    const bool together = keys - first > kPageKeys;  // or a single page is left
    const KeyValuePage* page = kv.pages + first / kPageKeys;
    const std::size_t some = together ? kPages : 1;
    const Lines lines = take_lines(fetch, some * kv.head_dim);
    if (together) {
      scores_of_pages<kQueries, kPages>(queries, scale, page, kv.head_dim, scores + first, lines);
    } else {
      scores_of_pages<kQueries, 1>(queries, scale, page, kv.head_dim, scores + first, lines);
    }
    first += some * kPageKeys;
  }
}

// Of a page of values, those of keys [first, last).
struct PageValues {
  const std::uint16_t* values;  // of key 0
  std::size_t width;            // from one key's to the next
  std::size_t first;
  std::size_t last;
};

// That one key has in so many vectors.
TERN_INLINE std::size_t lines_of_strip(int vectors) {
  return lines_of(static_cast<std::size_t>(vectors * kLanes) * sizeof(std::uint16_t));
}

// parts[q].out[d, d + kVectors * kLanes) += p[q][key] * V[key] for each key in turn: one chain an
// output.
template <int kQueries, int kVectors>
__attribute__((noinline)) void weighted_values(const float* p, const PageValues& page,
                                               std::size_t d, AttentionState* parts, Lines lines) {
  Vec chains[kQueries][kVectors];
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) chains[q][i] = load(parts[q].out + d + i * kLanes);
  }
  const std::size_t width = page.width;
  const std::size_t last = page.last;
  const std::uint16_t* values = page.values + page.first * width + d;
  for (std::size_t key = page.first; key < last; ++key) {
    fetch_lines(lines, lines_of_strip(kVectors));
    const auto weight = [&](int q) {
      return splat(p[static_cast<std::size_t>(q) * kChunkKeys + key]);
    };
    const auto value = [&](int i) { return load_f16(values + i * kLanes); };
    add_products(weight, value, add_product, chains);
    values += width;
  }
#pragma GCC unroll 16
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) store(parts[q].out + d + i * kLanes, chains[q][i]);
  }
}

// All dimensions from d on, in strips of kVectors vectors and what is left in narrower ones; again
// only the first pass fetches.
template <int kQueries, int kVectors>
TERN_INLINE void values_of_strips(const float* p, const PageValues& page, std::size_t d,
                                  AttentionState* parts, Fetch& fetch) {
  constexpr int kSome = sharing_values(kQueries);
  for (; d + kVectors * kLanes <= page.width; d += kVectors * kLanes) {
    Lines lines = take_lines(fetch, lines_of_strip(kVectors) * (page.last - page.first));
    int q = 0;
    for (; q + kSome <= kQueries; q += kSome, lines.step = 0) {
      weighted_values<kSome, kVectors>(p + q * kChunkKeys, page, d, parts + q, lines);
    }
    if constexpr (kQueries % kSome > 0) {
      weighted_values<kQueries % kSome, kVectors>(p + q * kChunkKeys, page, d, parts + q, lines);
    }
  }
  if constexpr (kVectors > 1) values_of_strips<kQueries, kVectors / 2>(p, page, d, parts, fetch);
}

// Keys [first, last) of the chunk, page by page, so that memory is read in its order; every
// register that is left widens the strips of dimensions.
template <int kQueries>
TERN_INLINE void all_weighted_values(const float* p, const KeyValueChunk& kv, std::size_t width,
                                     std::size_t first, std::size_t last, AttentionState* parts,
                                     Fetch& fetch) {
  constexpr int kVectors = chains_of(kQueries) / sharing_values(kQueries);
  for (std::size_t start = first / kPageKeys * kPageKeys; start < last; start += kPageKeys) {
    const PageValues page{kv.pages[start / kPageKeys].values, width,
                          first > start ? first - start : 0,
                          last - start < kPageKeys ? last - start : kPageKeys};
    values_of_strips<kQueries, kVectors>(p + start, page, 0, parts, fetch);
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

template <int kQueries>
TERN_INLINE void attend_together(const AttentionQuery* queries, float scale,
                                 const KeyValueChunk& kv, AttentionState* parts) {
  float p[kQueries * kChunkKeys];
  std::size_t most = 0;
  std::size_t common = kChunkKeys;  // keys that every query sees
  for (int q = 0; q < kQueries; ++q) {
    most = queries[q].keys > most ? queries[q].keys : most;
    common = queries[q].keys < common ? queries[q].keys : common;
  }
  const std::size_t width = (kv.head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
  Fetch fetch = fetch_of(kv, (most + kPageKeys - 1) / kPageKeys, width);
  all_scores<kQueries>(queries, scale, kv, most, p, fetch);
  for (int q = 0; q < kQueries; ++q) {
    parts[q].maximum = largest_score(p + q * kChunkKeys, queries[q].keys, fetch);
    for (std::size_t d = 0; d < width; d += kLanes) store(parts[q].out + d, splat(0.0f));
  }
  for (int q = 0; q < kQueries; ++q) {
    parts[q].sum = weights_of(p + q * kChunkKeys, queries[q].keys, parts[q].maximum, fetch);
  }
  all_weighted_values<kQueries>(p, kv, width, 0, common, parts, fetch);
  for (int q = 0; q < kQueries; ++q) {
    if (queries[q].keys == common) continue;
    all_weighted_values<1>(p + q * kChunkKeys, kv, width, common, queries[q].keys, parts + q,
                           fetch);
  }
}

void attention_chunk(const AttentionQuery* queries, std::size_t count, float scale,
                     const KeyValueChunk& kv, AttentionState* parts) {
  std::size_t q = 0;
  if constexpr (kTogether > static_cast<int>(kMaxQueries)) {
    for (; q + kTogether <= count; q += kTogether) {
      attend_together<kTogether>(queries + q, scale, kv, parts + q);
    }
  }
  for (; q + 8 <= count; q += 8) attend_together<8>(queries + q, scale, kv, parts + q);
  for (; q + 4 <= count; q += 4) attend_together<4>(queries + q, scale, kv, parts + q);
  for (; q + 2 <= count; q += 2) attend_together<2>(queries + q, scale, kv, parts + q);
  for (; q < count; ++q) attend_together<1>(queries + q, scale, kv, parts + q);
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
