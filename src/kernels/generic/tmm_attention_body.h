// Attention over int8 keys and values on tile registers, for many queries: 16 of them in turn, each
// a row of the register, over the keys of a whole chunk.
//
// Included behind attention_int8_body.h, value_digits.h, whose digits it loads, and the vocabulary
// of tmm_body.h, with one more:
// dot_signed_tmm<C, A, B>(): as dot_tmm, both signed.
//
// A page of keys is what B takes, 16 keys by 64 dimensions, and so are the values of two pages that
// stand side by side: 64 keys by 16 dimensions. Sums of integers are exact in any order, so the
// bits are those of any other way.
#pragma once

inline constexpr std::size_t kTmmMostDim = 256;
inline constexpr std::size_t kTmmKeys = kTmmRowBytes;  // that a register of digits has
// Lines that two products of scores ask for: a chunk of what comes next is there before its turn.
inline constexpr std::size_t kTmmFetched = 16;
static_assert(kPageKeys == 2 * kTileRows && kChunkKeys % kTmmKeys == 0);

struct TmmAttention {
  alignas(64) std::int8_t queries[kTmmRows][kTmmMostDim];
  alignas(64) float p[kTmmRows][kChunkKeys];  // scores, then weights
  alignas(64) std::int8_t digits[kTmmRows][kWeightBytes];
  const std::int8_t* values[kChunkKeys / kTmmKeys];  // of two pages each: [kTmmRows][width][kQuad]
  alignas(64) std::int8_t copies[kChunkKeys * kTmmMostDim];  // of pages that stand apart
  // Of 16 dimensions each, by the high digits and by the low ones; integers, as they are.
  alignas(64) float sums[2][2][kTmmRows][kTileRows];
};

TERN_INLINE bool tmm_attention_takes(std::size_t head_dim) {
  return head_dim % kTmmRowBytes == 0 && head_dim <= kTmmMostDim;
}

// What the next call reads, in the order in which it lies in memory.
TERN_INLINE Fetch fetch_of_next(const Int8Page* next, std::size_t head_dim) {
  Fetch fetch;
  if (next == nullptr) return fetch;
  const std::size_t bytes = kPageKeys * head_dim;
  const std::size_t scale_bytes = kPageKeys * sizeof(float);
  for (std::size_t i = 0; i < kPagesPerChunk; ++i) add_run(fetch, next[i].keys, bytes);
  for (std::size_t i = 0; i < kPagesPerChunk; ++i) add_run(fetch, next[i].values, bytes);
  for (std::size_t i = 0; i < kPagesPerChunk; ++i) add_run(fetch, next[i].key_scales, scale_bytes);
  for (std::size_t i = 0; i < kPagesPerChunk; ++i)
    add_run(fetch, next[i].value_scales, scale_bytes);
  return fetch;
}

// The values of two pages each, side by side; zeros where the second one is missing.
TERN_INLINE void pair_values(const Int8Chunk& kv, std::size_t end, TmmAttention& a) {
  const std::size_t page_bytes = kPageKeys * kv.head_dim;
  std::int8_t* copy = a.copies;
  for (std::size_t first = 0; first < end; first += kTmmKeys, copy += 2 * page_bytes) {
    const Int8Page* const page = kv.pages + first / kPageKeys;
    const bool both = first + kPageKeys < end;
    a.values[first / kTmmKeys] = page[0].values;
    if (both && page[1].values == page[0].values + page_bytes) continue;
    a.values[first / kTmmKeys] = copy;
    __builtin_memcpy(copy, page[0].values, page_bytes);
    if (both) {
      __builtin_memcpy(copy + page_bytes, page[1].values, page_bytes);
    } else {
      __builtin_memset(copy + page_bytes, 0, page_bytes);
    }
  }
}

// a.p[q][key]: the integers, as they are.
TERN_INLINE void tmm_scores(const Int8Chunk& kv, std::size_t end, TmmAttention& a, Fetch& fetch) {
  constexpr std::size_t kKeyBytes = kPageKeys * kQuad;
  for (std::size_t first = 0; first < end; first += kPageKeys) {
    const std::int8_t* keys = kv.pages[first / kPageKeys].keys;
    zero_tmm<0>();
    zero_tmm<1>();
    for (std::size_t d = 0; d < kv.head_dim; d += kTmmRowBytes) {
      Lines lines = take_lines(fetch, kTmmFetched);
      fetch_lines(lines, kTmmFetched);
      load_tmm<4>(a.queries[0] + d, kTmmMostDim);
      load_tmm<6>(keys + d * kPageKeys, kKeyBytes);
      dot_signed_tmm<0, 4, 6>();
      load_tmm<7>(keys + d * kPageKeys + kTmmRowBytes, kKeyBytes);
      dot_signed_tmm<1, 4, 7>();
    }
    store_tmm<0>(a.p[0] + first, sizeof a.p[0]);
    store_tmm<1>(a.p[0] + first + kTileRows, sizeof a.p[0]);
  }
}

// Integers to scores, as page_scores_int8 scales them.
TERN_INLINE void scale_scores(float* p, float factor, const Int8Chunk& kv, std::size_t end) {
  for (std::size_t key = 0; key < end; key += kPageKeys) {
    const float* scales = kv.pages[key / kPageKeys].key_scales;
    for (std::size_t i = 0; i < kPageKeys; i += kLanes) {
      float* const at = p + key + i;
      store(at, mul(to_floats(bits(load(at))), mul(load(scales + i), splat(factor))));
    }
  }
}

// parts[q].out from the digits of the weights and the values.
TERN_INLINE void tmm_values(std::size_t count, std::size_t end, std::size_t width,
                            const float* units, TmmAttention& a, AttentionState* parts) {
  constexpr std::size_t kSumBytes = sizeof a.sums[0][0][0];
  for (std::size_t d = 0; d < width; d += 2 * kTileRows) {
    zero_tmm<0>();
    zero_tmm<1>();
    zero_tmm<2>();
    zero_tmm<3>();
    for (std::size_t key = 0; key < end; key += kTmmKeys) {
      const std::int8_t* values = a.values[key / kTmmKeys] + d * kQuad;
      load_tmm<4>(a.digits[0] + key, kWeightBytes);
      load_tmm<6>(values, width * kQuad);
      dot_signed_tmm<0, 4, 6>();
      load_tmm<7>(values + kTmmRowBytes, width * kQuad);
      dot_signed_tmm<2, 4, 7>();
      load_tmm<5>(a.digits[0] + kChunkKeys + key, kWeightBytes);
      dot_signed_tmm<1, 5, 6>();
      dot_signed_tmm<3, 5, 7>();
    }
    store_tmm<0>(a.sums[0][0], kSumBytes);
    store_tmm<1>(a.sums[0][1], kSumBytes);
    store_tmm<2>(a.sums[1][0], kSumBytes);
    store_tmm<3>(a.sums[1][1], kSumBytes);
    for (std::size_t q = 0; q < count; ++q) {
      for (std::size_t i = 0; i < 2 * kTileRows; i += kLanes) {
        const auto& sums = a.sums[i / kTileRows];
        const Ints total = join_digits(bits(load(&sums[0][q][i % kTileRows])),
                                       bits(load(&sums[1][q][i % kTileRows])));
        store(parts[q].out + d + i, mul(to_floats(total), splat(units[q])));
      }
    }
  }
}

// One to 16 queries over the chunk whose values are paired.
TERN_INLINE void attend_tmm(const Int8Query* queries, std::size_t count, float scale,
                            const Int8Chunk& kv, std::size_t end, TmmAttention& a, Fetch& fetch,
                            AttentionState* parts) {
  for (std::size_t q = 0; q < count; ++q) {
    __builtin_memcpy(a.queries[q], queries[q].codes, kv.head_dim);
  }
  configure_tmm({count});
  tmm_scores(kv, end, a, fetch);
  float units[kTmmRows];
  for (std::size_t q = 0; q < count; ++q) {
    scale_scores(a.p[q], queries[q].scale * scale, kv, end);
  }
  softmax_int8(a.p[0], queries, count, kv.pages, end, a.digits[0], units, parts, fetch);
  tmm_values(count, end, kv.head_dim, units, a, parts);
  release_tmm();
}

// As KernelTable::attention_chunk_int8, of head dimensions that tmm_attention_takes().
TERN_INLINE void tmm_attention_int8(const Int8Query* queries, std::size_t count, float scale,
                                    const Int8Chunk& kv, AttentionState* parts) {
  std::size_t most = 0;
  for (std::size_t q = 0; q < count; ++q) most = queries[q].keys > most ? queries[q].keys : most;
  const std::size_t end = (most + kPageKeys - 1) / kPageKeys * kPageKeys;
  TmmAttention a;
  pair_values(kv, end, a);
  Fetch fetch = fetch_of_next(kv.next, kv.head_dim);
  for (std::size_t q = 0; q < count; q += kTmmRows) {
    const std::size_t some = count - q < kTmmRows ? count - q : kTmmRows;
    attend_tmm(queries + q, some, scale, kv, end, a, fetch, parts + q);
  }
  fetch_rest(fetch);
}
