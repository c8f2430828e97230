// Attention over int8 keys and values on every tier equals the scalar definition bit for bit, and
// the scalar definition equals what numbers.md says on cases worked out by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "conformance/tiers.h"
#include "conformance/values.h"

namespace tern::kernels {
namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Keys and values of one KV head, in pages.
struct Cache {
  std::size_t head_dim;
  std::size_t key_width;
  std::size_t value_width;
  std::vector<std::int8_t> keys;
  std::vector<std::int8_t> values;
  std::vector<float> key_scales;
  std::vector<float> value_scales;

  Cache(std::size_t head_dim_, std::size_t count)
      : head_dim(head_dim_),
        key_width(round_up(head_dim, kQuad)),
        value_width(round_up(head_dim, kValueAlign)) {
    const std::size_t slots = round_up(count, kPageKeys);
    keys.resize(slots * key_width);
    values.resize(slots * value_width);
    key_scales.resize(slots);
    value_scales.resize(slots);
  }
  std::int8_t& key(std::size_t position, std::size_t d) {
    const std::size_t slot = position % kPageKeys;
    return keys[position / kPageKeys * kPageKeys * key_width +
                (d / kQuad * kPageKeys + slot) * kQuad + d % kQuad];
  }
  std::int8_t& value(std::size_t position, std::size_t d) {
    const std::size_t slot = position % kPageKeys;
    return values[position / kPageKeys * kPageKeys * value_width +
                  (slot / kQuad * value_width + d) * kQuad + slot % kQuad];
  }
  std::vector<Int8Page> pages() const {
    std::vector<Int8Page> all;
    all.reserve(key_scales.size() / kPageKeys);  // and no more: a look behind them is seen
    for (std::size_t first = 0; first < key_scales.size(); first += kPageKeys) {
      all.push_back({&keys[first * key_width], &values[first * value_width], &key_scales[first],
                     &value_scales[first]});
    }
    return all;
  }
};

// Codes over the whole range, more of the extremes than chance gives; the slots beyond the last key
// hold codes and scales, too, which must not count.
Cache random_cache(std::size_t head_dim, std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  Cache cache(head_dim, count);
  const auto code = [&] {
    const auto r = static_cast<std::uint32_t>(random());
    if (r % 8 == 0) return static_cast<std::int8_t>(r & 256 ? 127 : -127);
    return static_cast<std::int8_t>(static_cast<std::int32_t>(r / 8 % 255) - 127);
  };
  for (std::size_t position = 0; position < cache.key_scales.size(); ++position) {
    for (std::size_t d = 0; d < head_dim; ++d) {
      cache.key(position, d) = code();
      cache.value(position, d) = code();
    }
    cache.key_scales[position] = 1e-4f * static_cast<float>(random() % 1000 + 1);
    cache.value_scales[position] = 1e-3f * static_cast<float>(random() % 1000 + 1);
  }
  return cache;
}

struct Query {
  std::vector<std::int8_t> codes;
  float scale = 0.0f;
  std::int32_t sum = 0;
  std::size_t keys = 0;
};

Query random_query(std::size_t head_dim, std::size_t keys, std::uint32_t seed) {
  Query query;
  query.codes.resize(round_up(head_dim, kQuad));
  query.keys = keys;
  EXPECT_TRUE(scalar_table().quantize(normals(head_dim, seed, 2.0f).data(), head_dim,
                                      query.codes.size(), query.codes.data(), &query.scale,
                                      &query.sum));
  return query;
}

// Chunk after chunk, folded, as the backend runs it; keys ascend.
std::vector<float> attend(const KernelTable& table, const std::vector<Query>& queries,
                          const Cache& cache, const std::vector<Int8Page>& pages) {
  const std::size_t count = queries.size();
  const std::size_t width = cache.value_width;
  std::vector<float> part_out(count * width, 5.0f), total_out(count * width, 0.0f);
  std::vector<float> y(count * cache.head_dim);
  std::vector<AttentionState> parts(count), totals(count);
  for (std::size_t i = 0; i < count; ++i) {
    parts[i].out = &part_out[i * width];
    totals[i] = {-std::numeric_limits<float>::infinity(), 0.0f, &total_out[i * width]};
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(cache.head_dim));
  for (std::size_t first = 0; first < queries.back().keys; first += kChunkKeys) {
    std::size_t active = 0;
    while (queries[active].keys <= first) ++active;
    std::vector<Int8Query> seen;
    seen.reserve(count - active);
    for (std::size_t i = active; i < count; ++i) {
      seen.push_back({queries[i].codes.data(), queries[i].scale, queries[i].sum,
                      std::min(kChunkKeys, queries[i].keys - first)});
    }
    const bool followed = first + 2 * kChunkKeys <= queries.back().keys;
    const Int8Page* page = &pages[first / kPageKeys];
    table.attention_chunk_int8(seen.data(), seen.size(), scale,
                               {page, cache.head_dim, followed ? page + kPagesPerChunk : nullptr},
                               &parts[active]);
    for (std::size_t i = active; i < count; ++i) {
      table.attention_fold(parts[i], cache.head_dim, &totals[i]);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    table.attention_output(totals[i], cache.head_dim, &y[i * cache.head_dim]);
  }
  return y;
}

std::vector<float> attend(const KernelTable& table, const std::vector<Query>& queries,
                          const Cache& cache) {
  return attend(table, queries, cache, cache.pages());
}

class Int8AttentionTier : public TierTest {};

TEST_P(Int8AttentionTier, EqualsTheDefinition) {
  for (const std::size_t head_dim : {2u, 64u, 80u, 100u, 128u, 256u}) {
    for (const std::size_t keys :
         {1u, 31u, 32u, 33u, 90u, 150u, 180u, 220u, 255u, 256u, 257u, 512u, 1000u}) {
      const auto seed = static_cast<std::uint32_t>(head_dim + keys);
      const Cache cache = random_cache(head_dim, keys, seed);
      const std::vector<Query> query{random_query(head_dim, keys, seed)};
      ASSERT_TRUE(same_bits(attend(scalar(), query, cache), attend(tier(), query, cache)))
          << head_dim << " dims, " << keys << " keys";
    }
  }
}

void expect_each_alone(const KernelTable& tier, std::size_t head_dim, std::size_t count,
                       const Cache& cache, const std::vector<std::size_t>& keys) {
  for (const std::size_t most : keys) {
    std::vector<Query> queries;
    for (std::size_t i = 0; i < count; ++i) {
      queries.push_back(
          random_query(head_dim, most - (count - 1 - i) / 2, static_cast<std::uint32_t>(i)));
    }
    const auto together = attend(tier, queries, cache);
    for (std::size_t i = 0; i < count; ++i) {
      const auto first = together.begin() + static_cast<std::ptrdiff_t>(i * head_dim);
      const std::vector<float> part(first, first + static_cast<std::ptrdiff_t>(head_dim));
      ASSERT_TRUE(same_bits(attend(scalar_table(), {queries[i]}, cache), part))
          << "query " << i << " of " << count << ", " << queries[i].keys << " keys, " << head_dim
          << " dims";
    }
  }
}

// Several queries in one call, each with its own number of keys, give what each gives alone.
TEST_P(Int8AttentionTier, OfSeveralQueries) {
  for (const std::size_t head_dim : {100u, 128u}) {
    const Cache cache = random_cache(head_dim, 300, 7);
    for (std::size_t count = 1; count <= kCallQueries; ++count) {
      expect_each_alone(tier(), head_dim, count, cache, {count, 66, 150, 259});
    }
  }
}

// From one key to all: what a query has no keys for are whole steps of the softmax, and pages end
// within one.
TEST_P(Int8AttentionTier, OfQueriesFarApart) {
  const Cache cache = random_cache(128, 512, 10);
  for (const std::size_t most : {200u, 250u, 512u}) {
    for (const std::size_t count : {2u, 5u, 8u, 16u, 32u}) {
      std::vector<Query> queries;
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t keys = 1 + i * (most - 1) / (count - 1);
        queries.push_back(random_query(128, keys, static_cast<std::uint32_t>(i)));
      }
      ASSERT_TRUE(same_bits(attend(scalar(), queries, cache), attend(tier(), queries, cache)))
          << count << " queries, " << most << " keys";
    }
  }
}

// Scores beyond all floats are no weights of zero: their sum is a NaN, as the definition's. What
// they weigh is none of the value.
TEST_P(Int8AttentionTier, AnInfiniteScoreIsNoWeight) {
  Cache cache = random_cache(64, 200, 11);
  std::fill(cache.keys.begin(), cache.keys.end(), std::int8_t{100});
  const std::vector<std::int8_t> codes(64, 100);
  const auto pages = cache.pages();
  for (const std::size_t count : {std::size_t{1}, std::size_t{4}, kCallQueries}) {
    const std::vector<Int8Query> queries(count, {codes.data(), 3e38f, 6400, 200});
    const auto outputs = [&](const KernelTable& table) {
      std::vector<float> out(count * 64);
      std::vector<AttentionState> parts(count);
      for (std::size_t i = 0; i < count; ++i) parts[i] = {0.0f, 0.0f, &out[i * 64]};
      table.attention_chunk_int8(queries.data(), count, 1.0f, {pages.data(), 64}, parts.data());
      for (const AttentionState& part : parts) {
        EXPECT_EQ(part.maximum, std::numeric_limits<float>::infinity());
        EXPECT_TRUE(std::isnan(part.sum));
      }
      return out;
    };
    EXPECT_TRUE(same_bits(outputs(scalar()), outputs(tier()))) << count << " queries";
  }
}

// 512 keys: two whole chunks, of which the first call asks for memory of the second.
TEST_P(Int8AttentionTier, OfManyQueriesOfOtherDimensions) {
  for (const std::size_t head_dim : {64u, 96u, 192u, 256u, 320u}) {
    const Cache cache = random_cache(head_dim, 512, 8);
    for (const std::size_t count : {16u, 17u, 32u}) {
      expect_each_alone(tier(), head_dim, count, cache, {80, 512});
    }
  }
}

// Pages of a pool may lie anywhere: here the values of some follow those before them, others' lie
// elsewhere, and two lie the other way round.
TEST_P(Int8AttentionTier, PagesMayStandApart) {
  const Cache cache = random_cache(128, 500, 9);
  std::vector<Int8Page> pages = cache.pages();
  const std::size_t page_values = kPageKeys * cache.value_width;
  std::vector<std::vector<std::int8_t>> elsewhere;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (i % 8 < 3 || i > 13) continue;
    elsewhere.emplace_back(pages[i].values, pages[i].values + page_values);
    pages[i].values = elsewhere.back().data();
  }
  std::vector<std::int8_t> turned(pages[15].values, pages[15].values + page_values);
  turned.insert(turned.end(), pages[14].values, pages[14].values + page_values);
  pages[15].values = turned.data();
  pages[14].values = turned.data() + page_values;
  for (const std::size_t count : {1u, 16u, 32u}) {
    std::vector<Query> queries;
    for (std::size_t i = 0; i < count; ++i) {
      queries.push_back(random_query(128, 500, static_cast<std::uint32_t>(i)));
    }
    ASSERT_TRUE(same_bits(attend(scalar(), queries, cache), attend(tier(), queries, cache, pages)));
  }
}

// The largest sums of products: 256 dimensions, and 256 keys of equal and full weight.
TEST_P(Int8AttentionTier, ExtremesDoNotOverflow) {
  for (const int sign : {1, -1}) {
    Cache cache(256, kChunkKeys);
    std::fill(cache.keys.begin(), cache.keys.end(), static_cast<std::int8_t>(127 * sign));
    std::fill(cache.values.begin(), cache.values.end(), static_cast<std::int8_t>(-127 * sign));
    std::fill(cache.key_scales.begin(), cache.key_scales.end(), 1.0f);
    std::fill(cache.value_scales.begin(), cache.value_scales.end(), 0.5f);
    const std::vector<std::int8_t> codes(256, -127);
    const auto pages = cache.pages();
    for (const std::size_t count : {std::size_t{1}, kCallQueries}) {
      std::vector<float> out(count * 256);
      std::vector<AttentionState> parts(count);
      for (std::size_t i = 0; i < count; ++i) parts[i] = {0.0f, 0.0f, &out[i * 256]};
      const std::vector<Int8Query> seen(count, {codes.data(), 1.0f, -127 * 256, kChunkKeys});
      tier().attention_chunk_int8(seen.data(), count, 0.0625f, {pages.data(), 256}, parts.data());
      for (const AttentionState& part : parts) {
        EXPECT_EQ(part.maximum, static_cast<float>(-sign) * 127 * 127 * 256 * 0.0625f);
        EXPECT_EQ(part.sum, 256.0f);
      }
      for (const float v : out) {
        EXPECT_EQ(v, static_cast<float>(-sign * 127 * 16383 * 256) * (0.5f / 16383));
      }
    }
  }
}

// Two keys of equal scores whose values differ in scale by 2: the weights are 16383 and, half of it
// rounded to even, 8192, and the sum counts both in full.
TEST_P(Int8AttentionTier, WeightsAreUnitsOfTheLargest) {
  Cache cache(16, 2);
  std::fill(cache.key_scales.begin(), cache.key_scales.end(), 1.0f);
  cache.value_scales = std::vector<float>(kPageKeys, 1.0f);
  cache.value_scales[1] = 0.5f;
  cache.value(0, 0) = 3;
  cache.value(1, 0) = 5;
  cache.value(1, 1) = -7;
  std::vector<float> out(16);
  AttentionState part{0.0f, 0.0f, out.data()};
  const std::vector<std::int8_t> zeros(16, 0);
  const auto pages = cache.pages();
  const Int8Query query{zeros.data(), 1.0f, 0, 2};
  tier().attention_chunk_int8(&query, 1, 0.25f, {pages.data(), 16}, &part);
  EXPECT_EQ(part.maximum, 0.0f);
  EXPECT_EQ(part.sum, 2.0f);
  EXPECT_EQ(out[0], static_cast<float>(3 * 16383 + 5 * 8192) * (1.0f / 16383));
  EXPECT_EQ(out[1], static_cast<float>(-7 * 8192) * (1.0f / 16383));
  EXPECT_EQ(out[2], 0.0f);
}

// A score is the integer product times key scale times (query scale times scale).
TEST_P(Int8AttentionTier, ScoresAreScaledProducts) {
  Cache cache(4, 1);
  cache.key_scales[0] = 0.3f;
  cache.value_scales[0] = 1.0f;
  cache.key(0, 0) = 100;
  cache.key(0, 3) = -20;
  const std::vector<std::int8_t> codes{50, 1, 1, 11};
  std::vector<float> out(16);
  AttentionState part{0.0f, 0.0f, out.data()};
  const auto pages = cache.pages();
  const Int8Query query{codes.data(), 0.7f, 63, 1};
  tier().attention_chunk_int8(&query, 1, 0.5f, {pages.data(), 4}, &part);
  EXPECT_EQ(part.maximum, 4780.0f * (0.3f * (0.7f * 0.5f)));
}

// Values whose weights are all zero give zeros, not a division by zero.
TEST_P(Int8AttentionTier, AZeroMaximumGivesZero) {
  Cache cache(64, 40);
  std::fill(cache.values.begin(), cache.values.end(), std::int8_t{9});
  const std::vector<std::int8_t> zeros(64, 0);
  const auto pages = cache.pages();
  for (const std::size_t count : {std::size_t{1}, kCallQueries}) {
    std::vector<float> out(count * 64, 1.0f);
    std::vector<AttentionState> parts(count);
    for (std::size_t i = 0; i < count; ++i) parts[i] = {0.0f, 0.0f, &out[i * 64]};
    const std::vector<Int8Query> queries(count, {zeros.data(), 1.0f, 0, 40});
    tier().attention_chunk_int8(queries.data(), count, 0.25f, {pages.data(), 64}, parts.data());
    for (const AttentionState& part : parts) EXPECT_EQ(part.sum, 40.0f);
    for (const float v : out) EXPECT_EQ(v, 0.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Int8AttentionTier, ::testing::ValuesIn(tested_tables()),
                         tier_test_name);

}  // namespace
}  // namespace tern::kernels
