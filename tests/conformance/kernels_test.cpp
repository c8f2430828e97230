// Every tier that this CPU can run equals the scalar definition bit for bit, on unfriendly shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/cpu_features.h"
#include "core/float16.h"
#include "core/fp_env.h"
#include "kernels/packing.h"
#include "kernels/registry.h"

namespace tern::kernels {

#if defined(__x86_64__)
extern const KernelTable kAvxVnniEvexTable;  // the AVX-VNNI tier in the encoding of AVX-512
#endif

namespace {

constexpr std::uint16_t kF16One = 0x3c00;

std::vector<float> normals(std::size_t n, std::uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> x(n);
  for (float& v : x) v = normal(generator);
  return x;
}

std::vector<std::uint16_t> halves(const std::vector<float>& x) {
  std::vector<std::uint16_t> h(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) h[i] = f32_to_f16(x[i]);
  return h;
}

::testing::AssertionResult same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) {
      return ::testing::AssertionFailure() << "element " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

std::size_t padded(std::size_t n) { return padded_columns(n); }

}  // namespace

// For the names of the tests: a tier is its name.
void PrintTo(const KernelTable* table, std::ostream* out) { *out << table->name; }

namespace {

// Trits, packed as TernaryTiles lays them out.
struct Weights {
  std::vector<std::uint8_t> codes;
  TernaryTiles tiles;
};

class Tier : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  void SetUp() override {
    const auto missing = GetParam()->required_features & ~detect_cpu_features();
    if (missing != 0) {
      GTEST_SKIP() << "this CPU lacks " << describe_cpu_features(missing);
    }
  }
  const KernelTable& tier() const { return *GetParam(); }
  const KernelTable& scalar() const { return scalar_table(); }
  std::vector<Packing> packings() const {
    if (tier().five_trits) return {Packing::kTwoBits, Packing::kFiveTrits};
    return {Packing::kTwoBits};
  }
  std::vector<float> constant_rows(const Weights& w, std::size_t rows, std::size_t columns,
                                   std::int8_t q, std::size_t tokens) const;
  ScopedFpEnv fp_env_;
};

// Random trits, or all the same code.
Weights random_weights(std::size_t rows, std::size_t columns, Packing packing, std::uint32_t seed,
                       int fixed = -1) {
  constexpr unsigned kFactors[2][5] = {{1, 4, 16, 64, 0}, {84, 28, 9, 3, 1}};
  std::mt19937 generator(seed);
  const std::size_t tiles = tiles_of(columns, packing);
  const std::size_t width = columns_of_tile(packing);
  const std::size_t padded_rows = (rows + kTileRows - 1) / kTileRows * kTileRows;
  Weights w;
  w.codes.assign(packed_bytes(rows, columns, packing), 0);
  for (std::size_t r = 0; r < padded_rows; ++r) {
    for (std::size_t c = 0; c < tiles * width; ++c) {
      const auto random =
          static_cast<unsigned>(fixed >= 0 ? static_cast<unsigned long>(fixed) : generator() % 3u);
      const unsigned code = r < rows && c < columns ? random : 1u;
      std::uint8_t& byte =
          w.codes[(r / kTileRows * tiles + c / width) * kTileBytes + r % kTileRows * 4 + c % 4];
      const unsigned factor = kFactors[static_cast<std::size_t>(packing)][c % width / 4];
      byte = static_cast<std::uint8_t>(byte + code * factor);
    }
  }
  w.tiles = TernaryTiles{w.codes.data(), tiles, 0.0371f, packing};
  return w;
}

struct Activations {
  std::vector<std::int8_t> values;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  QuantizedRows rows;
};

Activations quantized(const KernelTable& table, const std::vector<float>& x, std::size_t columns) {
  const std::size_t tokens = x.size() / columns;
  const std::size_t stride = padded(columns);
  Activations a{std::vector<std::int8_t>(tokens * stride, 99),
                std::vector<float>(tokens),
                std::vector<std::int32_t>(tokens),
                {}};
  for (std::size_t t = 0; t < tokens; ++t) {
    EXPECT_TRUE(table.quantize(x.data() + t * columns, columns, stride,
                               a.values.data() + t * stride, &a.scales[t], &a.sums[t]));
  }
  a.rows = QuantizedRows{a.values.data(), stride, a.scales.data(), a.sums.data()};
  return a;
}

TEST_P(Tier, TernaryLinear) {
  for (const std::size_t columns : {1u, 15u, 16u, 17u, 20u, 21u, 128u, 272u, 2048u, 8640u}) {
    for (const std::size_t rows : {1u, 3u, 8u, 16u, 29u, 64u, 150u}) {
      for (const std::size_t tokens : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 13u}) {
        if (columns * rows > 100000u && tokens > 2u && tokens != 7u) continue;  // the scalar's time
        for (const Packing packing : packings()) {
          const Weights w =
              random_weights(rows, columns, packing, static_cast<std::uint32_t>(columns + rows));
          const Activations x = quantized(scalar(), normals(tokens * columns, 5), columns);
          const std::size_t y_stride = rows + 3;
          std::vector<float> expected(tokens * y_stride, -7.0f);
          std::vector<float> found = expected;
          scalar().ternary_linear(w.tiles, rows, x.rows, tokens, expected.data(), y_stride);
          tier().ternary_linear(w.tiles, rows, x.rows, tokens, found.data(), y_stride);
          ASSERT_TRUE(same_bits(expected, found)) << columns << " x " << rows << " x " << tokens;
        }
      }
    }
  }
}

// Every byte that the packing of five trits has, in each position of a tile.
TEST_P(Tier, FiveTritsUnpackFromEveryByte) {
  if (!tier().five_trits) return;
  std::vector<std::uint8_t> codes(kTileBytes);
  for (std::size_t position = 0; position < kTileBytes; ++position) {
    for (unsigned byte = 0; byte < 252; ++byte) {
      if (byte % 28 == 27) continue;
      std::fill(codes.begin(), codes.end(), std::uint8_t{255});  // neighbours must not matter
      codes[position] = static_cast<std::uint8_t>(byte);
      const TernaryTiles w{codes.data(), 1, 1.0f, Packing::kFiveTrits};
      std::vector<std::int8_t> q(kFiveTritColumns);
      for (std::size_t plane = 0; plane < 5; ++plane) {
        q[plane * 4 + position % 4] = static_cast<std::int8_t>(1 << plane);
      }
      const float one = 1.0f;
      const std::int32_t sum = 31;
      const QuantizedRows x{q.data(), q.size(), &one, &sum};
      float found[kTileRows];
      tier().ternary_linear(w, kTileRows, x, 1, found, kTileRows);
      const int pair = static_cast<int>(byte / 28);
      const int rest = static_cast<int>(byte % 28);
      const int expected =
          pair / 3 + pair % 3 * 2 + rest / 9 * 4 + rest / 3 % 3 * 8 + rest % 3 * 16 - 31;
      ASSERT_EQ(found[position / 4], static_cast<float>(expected)) << position << ": " << byte;
    }
  }
}

// ternary_linear of rows of activations that are all `q`, with unit scales.
std::vector<float> Tier::constant_rows(const Weights& w, std::size_t rows, std::size_t columns,
                                       std::int8_t q, std::size_t tokens) const {
  const std::size_t stride = padded(columns);
  std::vector<std::int8_t> values(tokens * stride);
  for (std::size_t t = 0; t < tokens; ++t) std::fill_n(&values[t * stride], columns, q);
  const std::vector<float> d(tokens, 1.0f);
  const std::vector<std::int32_t> sums(tokens, q * static_cast<std::int32_t>(columns));
  std::vector<float> y(tokens * rows);
  tier().ternary_linear(w.tiles, rows, QuantizedRows{values.data(), stride, d.data(), sums.data()},
                        tokens, y.data(), rows);
  return y;
}

// The largest sums that can occur: every code and every activation at its extreme.
TEST_P(Tier, TernaryLinearDoesNotOverflow) {
  for (const std::size_t columns : {23040u, 132096u}) {
    const std::size_t rows = columns > 100000 ? 16 : 80;
    for (const Packing packing : packings()) {
      for (const int code : {0, 2}) {
        Weights w = random_weights(rows, columns, packing, 1, code);
        w.tiles.scale = 1.0f;
        for (const std::int8_t q : {std::int8_t{127}, std::int8_t{-127}}) {
          for (const std::size_t tokens : {1u, 5u}) {
            const std::vector<float> y = constant_rows(w, rows, columns, q, tokens);
            for (const float v : y) {
              ASSERT_EQ(v, static_cast<float>((code - 1) * q * static_cast<int>(columns)));
            }
          }
        }
      }
    }
  }
}

TEST_P(Tier, Quantize) {
  for (const std::size_t n : {1u, 7u, 31u, 32u, 33u, 100u, 128u, 2560u, 8640u}) {
    for (const float deviation : {1e-8f, 0.5f, 1e20f}) {
      const auto x = normals(n, static_cast<std::uint32_t>(n), deviation);
      const Activations expected = quantized(scalar(), x, n);
      const Activations found = quantized(tier(), x, n);
      EXPECT_EQ(expected.values, found.values);
      EXPECT_TRUE(same_bits(expected.scales, found.scales));
      EXPECT_EQ(expected.sums, found.sums);
    }
  }
}

TEST_P(Tier, QuantizeRoundsHalfToEvenAndKeepsTheRange) {
  // Largest magnitude 127 makes the factor 1, so each x is its own code before rounding.
  const std::vector<float> x{127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -126.5f, -127.0f};
  const Activations a = quantized(tier(), x, x.size());
  const std::vector<std::int8_t> expected{127, 0, 2, 2, 0, -2, -2, -126, -127};
  EXPECT_EQ(std::vector<std::int8_t>(a.values.begin(), a.values.begin() + 9), expected);
  EXPECT_EQ(a.scales[0], 1.0f);
  EXPECT_EQ(a.sums[0], 127 + 2 + 2 - 2 - 2 - 126 - 127);
}

TEST_P(Tier, QuantizeOfZerosIsZero) {
  const Activations a = quantized(tier(), std::vector<float>(40, 0.0f), 40);
  EXPECT_EQ(a.values, std::vector<std::int8_t>(padded(40), 0));
  EXPECT_EQ(a.scales[0], 1e-5f / 127.0f);
}

TEST_P(Tier, QuantizeRefusesNonFinite) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    for (const std::size_t at : {0u, 17u, 34u}) {
      std::vector<float> x(35, 1.0f);
      x[at] = bad;
      std::vector<std::int8_t> q(128);
      float d = 0;
      std::int32_t sum = 0;
      EXPECT_FALSE(tier().quantize(x.data(), x.size(), q.size(), q.data(), &d, &sum));
    }
  }
}

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
    auto expected = normals(2 * half, 4);
    auto found = expected;
    scalar().rope(expected.data(), c.data(), s.data(), half);
    tier().rope(found.data(), c.data(), s.data(), half);
    EXPECT_TRUE(same_bits(expected, found)) << half;
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

TEST_P(Tier, StoreF16) {
  std::vector<float> x = normals(1000, 8, 1e-4f);
  for (const float v : {0.0f, -0.0f, 65504.0f, 65519.0f, -65519.0f, 6e-8f, 2.9e-8f, 2.98e-8f}) {
    x.push_back(v);
  }
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

// The loop that measures a tier's ceiling says truly how much it did: twice the steps, twice the
// products, and whole vectors of them.
TEST_P(Tier, MultiplyAccumulateLoopCounts) {
  const std::uint64_t one = tier().multiply_accumulate_loop(1000);
  EXPECT_GE(one, 1000u);
  EXPECT_EQ(tier().multiply_accumulate_loop(3000), 3 * one);
}

TEST_P(Tier, DenormalsAreKept) {
  const std::vector<float> tiny(16, 1e-39f);
  std::vector<float> sum(16, 1e-39f);
  tier().add(tiny.data(), 16, sum.data());
  for (const float v : sum) EXPECT_EQ(v, 1e-39f + 1e-39f);
}

struct Pages {
  std::vector<std::vector<std::uint16_t>> k, v;
  std::vector<const std::uint16_t*> k_pointers, v_pointers;
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
  for (std::size_t p = 0; p < pages.k.size(); ++p) {
    pages.k_pointers.push_back(pages.k[p].data());
    pages.v_pointers.push_back(pages.v[p].data());
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
    for (std::size_t i = active; i < count; ++i) {
      queries.push_back({&q[i * head_dim], std::min(kChunkKeys, keys[i] - first)});
    }
    const std::size_t page = first / kPageKeys;
    table.attention_chunk(queries.data(), queries.size(), scale,
                          KeyValueChunk{&pages.k_pointers[page], &pages.v_pointers[page], head_dim},
                          &parts[active]);
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
    for (const std::size_t keys : {1u, 31u, 32u, 33u, 255u, 256u, 257u, 700u}) {
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
    for (std::size_t count = 1; count <= kMaxQueries; ++count) {
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

std::vector<const KernelTable*> tested_tables() {
  std::vector<const KernelTable*> tables(all_tables().begin(), all_tables().end());
#if defined(__x86_64__)
  tables.push_back(&kAvxVnniEvexTable);
#endif
  return tables;
}

INSTANTIATE_TEST_SUITE_P(Kernels, Tier, ::testing::ValuesIn(tested_tables()),
                         [](const auto& tier_case) {
                           std::string name = tier_case.param->name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tern::kernels
