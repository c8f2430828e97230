// Every tier that this CPU can run equals the scalar definition bit for bit, on unfriendly shapes:
// norms, RoPE, activations, the head's dot products, attention.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "conformance/tiers.h"
#include "conformance/values.h"
#include "core/float16.h"

namespace tern::kernels {
namespace {

constexpr std::uint16_t kF16One = 0x3c00;

std::vector<std::uint16_t> halves(const std::vector<float>& x) {
  std::vector<std::uint16_t> h(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) h[i] = f32_to_f16(x[i]);
  return h;
}

class Tier : public TierTest {};

TEST_P(Tier, RmsNorm) {
  for (const std::size_t n : {1u, 63u, 64u, 65u, 100u, 2560u, 3200u, 8641u}) {
    const auto x = normals(n, 1, 3.0f);
    const auto w = normals(n, 2);
    std::vector<float> expected(n), found(n);
    scalar().rms_norm(x.data(), w.data(), n, 1e-5f, expected.data());
    tier().rms_norm(x.data(), w.data(), n, 1e-5f, found.data());
    EXPECT_TRUE(same_bits(expected, found)) << n;
  }
}

TEST_P(Tier, Rope) {
  for (const std::size_t half : {1u, 20u, 32u, 50u, 64u, 128u}) {
    const auto angles = normals(half, 3);
    std::vector<float> c(half), s(half);
    for (std::size_t i = 0; i < half; ++i) {
      c[i] = std::cos(angles[i]);
      s[i] = std::sin(angles[i]);
    }
    const auto x = normals(2 * half, 4);
    std::vector<float> expected(2 * half), found(2 * half);
    scalar().rope(x.data(), c.data(), s.data(), half, expected.data());
    tier().rope(x.data(), c.data(), s.data(), half, found.data());
    EXPECT_TRUE(same_bits(expected, found)) << half;
    found = x;
    tier().rope(found.data(), c.data(), s.data(), half, found.data());
    EXPECT_TRUE(same_bits(expected, found)) << half << " in place";
  }
}

TEST_P(Tier, ElementwiseOperations) {
  for (const std::size_t n : {1u, 7u, 8u, 100u, 6912u}) {
    const auto g = normals(n, 5, 30.0f);
    const auto u = normals(n, 6);
    std::vector<float> expected(n), found(n);
    scalar().relu2_gate(g.data(), u.data(), n, expected.data());
    tier().relu2_gate(g.data(), u.data(), n, found.data());
    EXPECT_TRUE(same_bits(expected, found)) << "relu2 " << n;
    scalar().silu_gate(g.data(), u.data(), n, expected.data());
    tier().silu_gate(g.data(), u.data(), n, found.data());
    EXPECT_TRUE(same_bits(expected, found)) << "silu " << n;
    scalar().gelu_gate(g.data(), u.data(), n, expected.data());
    tier().gelu_gate(g.data(), u.data(), n, found.data());
    EXPECT_TRUE(same_bits(expected, found)) << "gelu " << n;
    scalar().add(g.data(), n, expected.data());
    tier().add(g.data(), n, found.data());
    EXPECT_TRUE(same_bits(expected, found)) << "add " << n;
  }
}

// exp through its user: the whole range, the cut-offs and their neighbours.
TEST_P(Tier, SiluOverTheWholeRange) {
  std::vector<float> g;
  for (float x = -120.0f; x < 120.0f; x += 0.0137f) g.push_back(x);
  for (const float x : {87.33654f, 87.33655f, 88.72283f, 88.72284f, 0.0f, -0.0f, 1e-30f, 1e30f}) {
    g.push_back(x);
    g.push_back(-x);
  }
  for (float x = 120.0f; x < 3000.0f; x += 7.3f) {  // exponents that no float has
    g.push_back(x);
    g.push_back(-x);
  }
  const std::vector<float> u(g.size(), 1.0f);
  std::vector<float> expected(g.size()), found(g.size());
  scalar().silu_gate(g.data(), u.data(), g.size(), expected.data());
  tier().silu_gate(g.data(), u.data(), g.size(), found.data());
  EXPECT_TRUE(same_bits(expected, found));
  for (std::size_t i = 0; i < g.size(); ++i) {
    const double exact = g[i] / (1.0 + std::exp(-static_cast<double>(g[i])));
    EXPECT_NEAR(found[i], exact, 3e-7 * std::abs(exact) + 1e-36) << g[i];
  }
}

// Also where the cube overflows: to g above, to zero below.
TEST_P(Tier, GeluOverTheWholeRange) {
  std::vector<float> g;
  for (float x = -12.0f; x < 12.0f; x += 0.00137f) g.push_back(x);
  for (const float x : {0.0f, 1e-30f, 1e-3f, 20.0f, 1e10f, 1e19f, 1e30f, 3e38f}) {
    g.push_back(x);
    g.push_back(-x);
  }
  const std::vector<float> u(g.size(), 1.0f);
  std::vector<float> expected(g.size()), found(g.size());
  scalar().gelu_gate(g.data(), u.data(), g.size(), expected.data());
  tier().gelu_gate(g.data(), u.data(), g.size(), found.data());
  EXPECT_TRUE(same_bits(expected, found));
  for (std::size_t i = 0; i < g.size(); ++i) {
    const double x = g[i];
    const double inner = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
    const double exact = 0.5 * x * (1.0 + std::tanh(inner));
    EXPECT_NEAR(found[i], exact, 4e-7 * std::max(1.0, std::abs(exact))) << g[i];
  }
}

TEST_P(Tier, StoreF16) {
  std::vector<float> x = normals(1000, 8, 1e-4f);
  for (const float v : {0.0f, -0.0f, 65504.0f, 65519.0f, -65519.0f, 6e-8f, 2.9e-8f, 2.98e-8f}) {
    x.push_back(v);
  }
  x.resize(x.size() + 5, 1.5f);  // no whole vector of any tier
  std::vector<std::uint16_t> expected(x.size() * 3, 7), found = expected;
  EXPECT_TRUE(scalar().store_f16(x.data(), x.size(), expected.data(), 3));
  EXPECT_TRUE(tier().store_f16(x.data(), x.size(), found.data(), 3));
  EXPECT_EQ(expected, found);
  for (const float v : {65520.0f, -70000.0f, std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_FALSE(tier().store_f16(&v, 1, found.data(), 1)) << v;
  }
}

TEST_P(Tier, DotRows) {
  for (const std::size_t n : {1u, 63u, 64u, 65u, 100u, 256u, 2560u, 2571u}) {
    for (const std::size_t rows : {1u, 3u, 4u, 9u}) {
      const auto x = normals(n, 9);
      const auto w = normals(n * rows, 10);
      const auto h = halves(w);
      std::vector<std::uint16_t> b(w.size());
      for (std::size_t i = 0; i < w.size(); ++i) b[i] = f32_to_bf16(w[i]);
      std::vector<float> expected(rows + 1, -7.0f), found(rows + 1, -7.0f);
      scalar().dot_rows_f32(x.data(), w.data(), n, rows, expected.data());
      tier().dot_rows_f32(x.data(), w.data(), n, rows, found.data());
      EXPECT_TRUE(same_bits(expected, found)) << "f32 " << n << " x " << rows;
      scalar().dot_rows_f16(x.data(), h.data(), n, rows, expected.data());
      tier().dot_rows_f16(x.data(), h.data(), n, rows, found.data());
      EXPECT_TRUE(same_bits(expected, found)) << "f16 " << n << " x " << rows;
      scalar().dot_rows_bf16(x.data(), b.data(), n, rows, expected.data());
      tier().dot_rows_bf16(x.data(), b.data(), n, rows, found.data());
      EXPECT_TRUE(same_bits(expected, found)) << "bf16 " << n << " x " << rows;
    }
  }
}

// The sum rule itself, on values whose order of addition shows.
TEST_P(Tier, SumRuleOrder) {
  std::vector<float> x(130, 0.0f);
  const std::vector<float> ones(130, 1.0f);
  x[0] = 1e8f;    // lane 0
  x[64] = 1.0f;   // lane 0 again: absorbed
  x[32] = -1e8f;  // lane 32 meets lane 0 first in the tree
  x[1] = 3.0f;
  float sum = 0.0f;
  tier().dot_rows_f32(x.data(), ones.data(), x.size(), 1, &sum);
  EXPECT_EQ(sum, 3.0f);
  x[64] = 0.0f;
  x[129] = 1.0f;  // a tail element of lane 1
  tier().dot_rows_f32(x.data(), ones.data(), x.size(), 1, &sum);
  EXPECT_EQ(sum, 4.0f);
}

TEST_P(Tier, DenormalsAreKept) {
  const std::vector<float> tiny(16, 1e-39f);
  std::vector<float> sum(16, 1e-39f);
  tier().add(tiny.data(), 16, sum.data());
  for (const float v : sum) EXPECT_EQ(v, 1e-39f + 1e-39f);
}

struct Pages {
  std::vector<std::vector<std::uint16_t>> k, v;
  std::vector<KeyValuePage> pages;
};

Pages random_pages(std::size_t keys, std::size_t head_dim, std::size_t width) {
  Pages pages;
  for (std::size_t p = 0; p * kPageKeys < keys; ++p) {
    const auto seed = static_cast<std::uint32_t>(100 + p);
    pages.k.push_back(halves(normals(head_dim * kPageKeys, seed)));
    pages.v.push_back(halves(normals(width * kPageKeys, seed + 50)));
    for (std::size_t key = 0; key < kPageKeys; ++key) {
      for (std::size_t d = head_dim; d < width; ++d) pages.v[p][key * width + d] = 0;
    }
  }
  pages.pages.reserve(pages.k.size());  // and no more: a look behind them is seen
  for (std::size_t p = 0; p < pages.k.size(); ++p) {
    pages.pages.push_back({pages.k[p].data(), pages.v[p].data()});
  }
  return pages;
}

// Attention of queries over their first keys as the backend runs it: chunk after chunk, folded.
// Query i is q[i * head_dim...) and sees keys[i], ascending.
std::vector<float> attend(const KernelTable& table, const std::vector<float>& q, const Pages& pages,
                          const std::vector<std::size_t>& keys, std::size_t head_dim) {
  const std::size_t width = (head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
  const std::size_t count = keys.size();
  std::vector<float> part_out(count * width, 5.0f), total_out(count * width, 0.0f), y(q.size());
  std::vector<AttentionState> parts(count), totals(count);
  for (std::size_t i = 0; i < count; ++i) {
    parts[i].out = &part_out[i * width];
    totals[i] = {-std::numeric_limits<float>::infinity(), 0.0f, &total_out[i * width]};
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  for (std::size_t first = 0; first < keys.back(); first += kChunkKeys) {
    std::size_t active = 0;
    while (keys[active] <= first) ++active;
    std::vector<AttentionQuery> queries;
    queries.reserve(count - active);
    for (std::size_t i = active; i < count; ++i) {
      queries.push_back({&q[i * head_dim], std::min(kChunkKeys, keys[i] - first)});
    }
    const std::size_t page = first / kPageKeys;
    const bool followed = first + 2 * kChunkKeys <= keys.back();
    const KeyValuePage* next = followed ? &pages.pages[page + kPagesPerChunk] : nullptr;
    table.attention_chunk(queries.data(), queries.size(), scale,
                          KeyValueChunk{&pages.pages[page], head_dim, next}, &parts[active]);
    for (std::size_t i = active; i < count; ++i) {
      table.attention_fold(parts[i], head_dim, &totals[i]);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    table.attention_output(totals[i], head_dim, &y[i * head_dim]);
  }
  return y;
}

TEST_P(Tier, Attention) {
  for (const std::size_t head_dim : {64u, 80u, 100u, 128u, 256u}) {
    const std::size_t width = (head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
    for (const std::size_t keys : {1u, 31u, 32u, 33u, 65u, 255u, 256u, 257u, 512u, 700u}) {
      const Pages pages = random_pages(keys, head_dim, width);
      const auto q = normals(head_dim, 11, 3.0f);
      const auto expected = attend(scalar(), q, pages, {keys}, head_dim);
      const auto found = attend(tier(), q, pages, {keys}, head_dim);
      ASSERT_TRUE(same_bits(expected, found)) << head_dim << " dims, " << keys << " keys";
    }
  }
}

// Several queries in one call, each with its own number of keys, give what each gives alone.
TEST_P(Tier, AttentionOfSeveralQueries) {
  for (const std::size_t head_dim : {64u, 100u}) {
    const std::size_t width = (head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
    const Pages pages = random_pages(300, head_dim, width);
    for (std::size_t count = 1; count <= kCallQueries; ++count) {
      for (const std::size_t most : {count, std::size_t{66}, std::size_t{259}}) {
        const auto q = normals(count * head_dim, 12, 3.0f);
        std::vector<std::size_t> keys(count);
        // Pairs of queries, as the heads of one row, see the same keys.
        for (std::size_t i = 0; i < count; ++i) keys[i] = most - (count - 1 - i) / 2;
        const auto together = attend(tier(), q, pages, keys, head_dim);
        for (std::size_t i = 0; i < count; ++i) {
          const std::vector<float> own(&q[i * head_dim], &q[i * head_dim] + head_dim);
          const std::vector<float> part(&together[i * head_dim],
                                        &together[i * head_dim] + head_dim);
          ASSERT_TRUE(same_bits(attend(scalar(), own, pages, {keys[i]}, head_dim), part))
              << head_dim << " dims, query " << i << " of " << count << ", " << keys[i] << " keys";
        }
      }
    }
  }
}

// Queries whose numbers of keys lie far apart, over chunks behind the first, too.
TEST_P(Tier, AttentionOfQueriesFarApart) {
  const std::size_t head_dim = 80;
  const Pages pages = random_pages(578, head_dim, head_dim);
  for (const std::size_t count :
       {std::size_t{12}, std::size_t{13}, std::size_t{24}, kCallQueries}) {
    for (const std::size_t first : {std::size_t{1}, std::size_t{323}}) {
      const auto q = normals(count * head_dim, 13, 3.0f);
      std::vector<std::size_t> keys(count);
      for (std::size_t i = 0; i < count; ++i) keys[i] = first + i * 255 / (count - 1);
      const auto together = attend(tier(), q, pages, keys, head_dim);
      for (std::size_t i = 0; i < count; ++i) {
        const std::vector<float> own(&q[i * head_dim], &q[i * head_dim] + head_dim);
        const std::vector<float> part(&together[i * head_dim], &together[i * head_dim] + head_dim);
        ASSERT_TRUE(same_bits(attend(scalar(), own, pages, {keys[i]}, head_dim), part))
            << "query " << i << " of " << count << ", " << keys[i] << " keys";
      }
    }
  }
}

// The loop that measures a tier's ceiling says truly how much it did: twice the steps, twice the
// products, and whole vectors of them.
TEST_P(Tier, FmaLoopCounts) {
  const std::uint64_t one = tier().fma_loop(1000);
  EXPECT_GE(one, 1000u);
  EXPECT_EQ(tier().fma_loop(3000), 3 * one);
}

// With equal scores attention is the mean of the values.
TEST_P(Tier, AttentionOfEqualScoresIsTheMean) {
  const std::size_t head_dim = 64;
  Pages pages = random_pages(300, head_dim, head_dim);
  for (auto& page : pages.v) std::fill(page.begin(), page.end(), kF16One);
  const auto y = attend(tier(), std::vector<float>(head_dim, 0.0f), pages, {300}, head_dim);
  for (const float v : y) EXPECT_EQ(v, 1.0f);
}

// A key whose score lies below the largest by the very cut-off of exp still counts; one float
// further it does not. The other key's values are zero, so the output shows its weight.
TEST_P(Tier, AttentionAtTheCutOffOfExp) {
  const std::size_t head_dim = 16;
  Pages pages = random_pages(2, head_dim, head_dim);
  std::fill(pages.k[0].begin(), pages.k[0].end(), std::uint16_t{0});
  std::fill(pages.v[0].begin(), pages.v[0].end(), std::uint16_t{0});
  pages.k[0][1] = f32_to_f16(-4.0f);  // key 1 in dimension 0, which undoes the scale of 1/4
  pages.v[0][head_dim] = kF16One;
  std::vector<float> q(head_dim, 0.0f);
  q[0] = 87.33654f;
  const float weight = attend(tier(), q, pages, {2}, head_dim)[0];
  EXPECT_GT(weight, 1.17e-38f);
  EXPECT_LT(weight, 1.18e-38f);
  q[0] = std::nextafterf(q[0], 100.0f);
  EXPECT_EQ(attend(tier(), q, pages, {2}, head_dim)[0], 0.0f);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Tier, ::testing::ValuesIn(tested_tables()), tier_test_name);

}  // namespace
}  // namespace tern::kernels
