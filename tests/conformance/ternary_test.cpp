// Quantisation and ternary products: every tier that this CPU can run equals the scalar definition
// bit for bit, in each packing that it takes, on unfriendly shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "conformance/ternary_values.h"
#include "conformance/tiers.h"
#include "conformance/values.h"
#include "kernels/packing.h"

namespace tern::kernels {
namespace {

class TernaryTier : public TierTest {
 protected:
  std::vector<Packing> packings() const {
    if (tier().five_trits) return {Packing::kTwoBits, Packing::kFiveTrits};
    return {Packing::kTwoBits};
  }
};

TEST_P(TernaryTier, TernaryLinear) {
  for (const std::size_t columns : {1u, 15u, 16u, 17u, 20u, 21u, 128u, 272u, 2048u, 8640u}) {
    for (const std::size_t rows : {1u, 3u, 8u, 16u, 29u, 64u, 150u}) {
      for (const std::size_t tokens : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 11u, 13u, 25u, 131u}) {
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

// Blocks of look-up tables, where the tier has them: whole and broken ones, tokens left over, rows
// that fill no vector, and more rows than a block takes in one range, whose sums of 16 bits are
// moved on in each.
TEST_P(TernaryTier, TernaryLinearOfManyTokens) {
  struct Sizes {
    std::size_t rows, columns, tokens;
  };
  constexpr Sizes kSizes[] = {
      {511, 100, 32}, {512, 100, 14}, {512, 100, 15},   {512, 100, 16},  {515, 100, 17},
      {512, 100, 25}, {512, 100, 26}, {516, 100, 31},   {519, 100, 32},  {521, 100, 33},
      {525, 16, 47},  {525, 16, 59},  {513, 17, 60},    {527, 1, 15},    {527, 1, 63},
      {650, 272, 64}, {650, 272, 65}, {512, 2560, 60},  {512, 2560, 16}, {2048, 20, 32},
      {2049, 33, 30}, {2049, 33, 16}, {2064, 2560, 32}, {4113, 16, 32},  {2048, 2560, 16}};
  for (const Sizes& size : kSizes) {
    for (const Packing packing : packings()) {
      const Weights w = random_weights(size.rows, size.columns, packing,
                                       static_cast<std::uint32_t>(size.columns + size.rows));
      const Activations x =
          quantized(scalar(), normals(size.tokens * size.columns, 9), size.columns);
      const std::size_t y_stride = size.rows + 3;
      std::vector<float> expected(size.tokens * y_stride, -7.0f);
      std::vector<float> found = expected;
      scalar().ternary_linear(w.tiles, size.rows, x.rows, size.tokens, expected.data(), y_stride);
      tier().ternary_linear(w.tiles, size.rows, x.rows, size.tokens, found.data(), y_stride);
      ASSERT_TRUE(same_bits(expected, found))
          << size.columns << " x " << size.rows << " x " << size.tokens;
    }
  }
}

// More threads than there may be cores, each with numbers of its own: whoever interrupts a product,
// its registers come back as they were.
TEST_P(TernaryTier, TernaryLinearOnThreadsThatInterruptEachOther) {
  constexpr std::size_t kThreads = 4;
  const std::size_t times = &tier() == &scalar() ? 2 : 500;  // it is slow, and has no registers
  constexpr std::size_t kRows = 32, kColumns = 960, kTokens = 32;
  std::atomic<std::size_t> wrong{0};
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      const ScopedFpEnv fp_env;
      const Weights w = random_weights(kRows, kColumns, packings().back(), thread);
      const Activations x = quantized(scalar(), normals(kTokens * kColumns, thread), kColumns);
      std::vector<float> expected(kTokens * kRows), found(kTokens * kRows);
      scalar().ternary_linear(w.tiles, kRows, x.rows, kTokens, expected.data(), kRows);
      for (std::size_t time = 0; time < times; ++time) {
        tier().ternary_linear(w.tiles, kRows, x.rows, kTokens, found.data(), kRows);
        if (!same_bits(expected, found)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
}

// One token in every pattern, numbers of groups that streams do not divide included.
TEST_P(TernaryTier, ReadPatternsChangeNoBit) {
  for (const std::size_t columns : {20u, 272u, 2560u}) {
    for (const std::size_t rows : {15u, 16u, 47u, 64u, 112u, 239u}) {
      for (const Packing packing : packings()) {
        Weights w =
            random_weights(rows, columns, packing, static_cast<std::uint32_t>(columns + rows));
        const Activations x = quantized(scalar(), normals(columns, 6), columns);
        std::vector<float> expected(rows);
        scalar().ternary_linear(w.tiles, rows, x.rows, 1, expected.data(), rows);
        for (std::uint32_t streams = 1; streams <= kMostStreams; streams *= 2) {
          for (const std::uint32_t prefetch_bytes : {0u, 1024u, 1u << 20}) {
            w.tiles.read = {streams, prefetch_bytes, prefetch_bytes == 1024};
            std::vector<float> found(rows, -7.0f);
            tier().ternary_linear(w.tiles, rows, x.rows, 1, found.data(), rows);
            ASSERT_TRUE(same_bits(expected, found))
                << columns << " x " << rows << ", " << streams << " streams";
          }
        }
      }
    }
  }
}

// From whichever number of tokens on the tier takes tile registers, where it has them.
TEST_P(TernaryTier, NumbersOfTokensForTileRegistersChangeNoBit) {
  constexpr std::size_t kRows = 47;
  for (const Packing packing : packings()) {
    for (const std::size_t columns : {21u, 272u, 1024u}) {
      Weights w = random_weights(kRows, columns, packing, static_cast<std::uint32_t>(columns));
      for (const std::size_t tokens : {1u, 2u, 3u, 4u, 7u, 8u, 9u, 16u, 31u, 33u, 70u}) {
        const Activations x = quantized(scalar(), normals(tokens * columns, 7), columns);
        std::vector<float> expected(tokens * kRows);
        scalar().ternary_linear(w.tiles, kRows, x.rows, tokens, expected.data(), kRows);
        for (const std::uint32_t from : {0u, 1u, 2u, 4u, 8u, 16u, 32u, 64u}) {
          w.tiles.tile_tokens = from;
          std::vector<float> found(tokens * kRows, -7.0f);
          tier().ternary_linear(w.tiles, kRows, x.rows, tokens, found.data(), kRows);
          ASSERT_TRUE(same_bits(expected, found))
              << columns << " columns, " << tokens << " tokens, tile registers from " << from;
        }
      }
    }
  }
}

#if defined(__x86_64__)
// Exactly from that number on, and from the tier's own where none is given.
TEST(TernaryTmm, TakesTileRegistersFromTheGivenNumberOfTokensOn) {
  const KernelTable& tier = kAmxEmulatedTable;
  const auto missing = tier.required_features & ~detect_cpu_features();
  if (missing != 0) GTEST_SKIP() << "this CPU lacks " << describe_cpu_features(missing);
  const ScopedFpEnv fp_env;
  EXPECT_EQ(tier.tile_tokens, 8u);
  for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
    Weights w = random_weights(16, 80, packing, 1);
    for (const std::uint32_t from : {0u, 1u, 2u, 8u, 9u, 64u}) {
      w.tiles.tile_tokens = from;
      for (std::size_t tokens = 1; tokens <= 65; ++tokens) {
        const Activations x = quantized(scalar_table(), normals(tokens * 80, 8), 80);
        std::vector<float> y(tokens * 16);
        const std::uint64_t before = emulated_configurations();
        tier.ternary_linear(w.tiles, 16, x.rows, tokens, y.data(), 16);
        ASSERT_EQ(emulated_configurations() > before,
                  tokens >= (from != 0 ? from : tier.tile_tokens))
            << tokens << " tokens, from " << from;
      }
    }
  }
}
#endif

// Every byte that the packing of five trits has, in each position of a tile.
// For one token, for some that share registers, and for a panel; the first is negative, and so is
// each other one.
TEST_P(TernaryTier, FiveTritsUnpackFromEveryByte) {
  if (!tier().five_trits) return;
  constexpr std::size_t kMost = 9;
  const std::size_t stride = padded_columns(kFiveTritColumns);
  std::vector<std::uint8_t> codes(kTileBytes);
  for (std::size_t position = 0; position < kTileBytes; ++position) {
    std::vector<std::int8_t> q(kMost * stride);
    std::vector<std::int32_t> sums(kMost);
    for (std::size_t token = 0; token < kMost; ++token) {
      const int sign = token % 2 == 0 ? -1 : 1;
      for (std::size_t plane = 0; plane < 5; ++plane) {
        q[token * stride + plane * 4 + position % 4] =
            static_cast<std::int8_t>(sign * (1 << plane));
      }
      sums[token] = sign * 31;
    }
    const std::vector<float> ones(kMost, 1.0f);
    const QuantizedRows x{q.data(), stride, ones.data(), sums.data()};
    for (unsigned byte = 0; byte < 252; ++byte) {
      if (byte % 28 == 27) continue;
      std::fill(codes.begin(), codes.end(), std::uint8_t{255});  // neighbours must not matter
      codes[position] = static_cast<std::uint8_t>(byte);
      const TernaryTiles w{codes.data(), 1, 1.0f, Packing::kFiveTrits};
      const int pair = static_cast<int>(byte / 28);
      const int rest = static_cast<int>(byte % 28);
      const int expected =
          pair / 3 + pair % 3 * 2 + rest / 9 * 4 + rest / 3 % 3 * 8 + rest % 3 * 16 - 31;
      for (const std::size_t tokens : {std::size_t{1}, std::size_t{2}, kMost}) {
        float found[kMost * kTileRows];
        tier().ternary_linear(w, kTileRows, x, tokens, found, kTileRows);
        for (std::size_t token = 0; token < tokens; ++token) {
          ASSERT_EQ(found[token * kTileRows + position / 4],
                    static_cast<float>(token % 2 == 0 ? -expected : expected))
              << position << ": " << byte << ", token " << token << " of " << tokens;
        }
      }
    }
  }
}

// ternary_linear of rows of activations that are all `q`, with unit scales.
std::vector<float> constant_rows(const KernelTable& tier, const Weights& w, std::size_t rows,
                                 std::size_t columns, std::int8_t q, std::size_t tokens) {
  const std::size_t stride = padded_columns(columns);
  std::vector<std::int8_t> values(tokens * stride);
  for (std::size_t t = 0; t < tokens; ++t) std::fill_n(&values[t * stride], columns, q);
  const std::vector<float> d(tokens, 1.0f);
  const std::vector<std::int32_t> sums(tokens, q * static_cast<std::int32_t>(columns));
  std::vector<float> y(tokens * rows);
  tier.ternary_linear(w.tiles, rows, QuantizedRows{values.data(), stride, d.data(), sums.data()},
                      tokens, y.data(), rows);
  return y;
}

// The largest sums that can occur: every code and every activation at its extreme.
TEST_P(TernaryTier, TernaryLinearDoesNotOverflow) {
  for (const std::size_t columns : {23040u, 132096u}) {
    const std::size_t rows = columns > 100000 ? 16 : 80;
    for (const Packing packing : packings()) {
      for (const int code : {0, 2}) {
        Weights w = random_weights(rows, columns, packing, 1, code);
        w.tiles.scale = 1.0f;
        for (const std::int8_t q : {std::int8_t{127}, std::int8_t{-127}}) {
          for (const std::size_t tokens : {1u, 5u}) {
            const std::vector<float> y = constant_rows(tier(), w, rows, columns, q, tokens);
            for (const float v : y) {
              ASSERT_EQ(v, static_cast<float>((code - 1) * q * static_cast<int>(columns)));
            }
          }
        }
      }
    }
  }
}

TEST_P(TernaryTier, TernaryLinearOfManyTokensDoesNotOverflow) {
  constexpr std::size_t kRows = 520, kColumns = 4100;
  for (const int code : {0, 2}) {
    Weights w = random_weights(kRows, kColumns, Packing::kTwoBits, 1, code);
    w.tiles.scale = 1.0f;
    for (const std::size_t tokens : {std::size_t{16}, std::size_t{32}}) {
      for (const std::int8_t q : {std::int8_t{127}, std::int8_t{-127}}) {
        for (const float v : constant_rows(tier(), w, kRows, kColumns, q, tokens)) {
          ASSERT_EQ(v, static_cast<float>((code - 1) * q * static_cast<int>(kColumns)));
        }
      }
    }
  }
}

// Of `tokens` tokens one has 256 columns of 127, 32512 in all, and from column 256 + `offset` on
// `rest` more.
void expect_no_overflow(const KernelTable& tier, std::size_t tokens, std::size_t token,
                        std::size_t offset, int rest) {
  constexpr std::size_t kRows = 512, kFull = 256, kColumns = kFull + 32;
  const std::size_t stride = padded_columns(kColumns);
  std::vector<std::int8_t> values(tokens * stride, 0);
  std::int8_t* x = &values[token * stride];
  std::fill_n(x, kFull, std::int8_t{127});
  for (int i = 0; i < 4; ++i) x[kFull + offset + i] = static_cast<std::int8_t>(rest / 4);
  x[kFull + offset + 6] = static_cast<std::int8_t>(rest % 4);
  const int sum = 127 * static_cast<int>(kFull) + rest;
  const std::vector<float> ones(tokens, 1.0f);
  std::vector<std::int32_t> sums(tokens, 0);
  for (const int sign : {1, -1}) {
    sums[token] = sign * sum;
    if (sign < 0)
      for (std::int8_t& v : values) v = static_cast<std::int8_t>(-v);
    const QuantizedRows rows{values.data(), stride, ones.data(), sums.data()};
    for (const int code : {0, 2}) {
      Weights w = random_weights(kRows, kColumns, Packing::kTwoBits, 1, code);
      w.tiles.scale = 1.0f;
      std::vector<float> y(tokens * kRows);
      tier.ternary_linear(w.tiles, kRows, rows, tokens, y.data(), kRows);
      for (std::size_t t = 0; t < tokens; ++t) {
        const int expected = t == token ? sign * (code - 1) * sum : 0;
        ASSERT_EQ(y[t * kRows + 500], static_cast<float>(expected)) << rest << ", token " << t;
      }
    }
  }
}

// Sums of 16 bits hold magnitudes below 2^15, whichever token, tile and column they reach it with.
TEST_P(TernaryTier, TernaryLinearDoesNotOverflowBetweenTiles) {
  for (const int rest : {254, 255, 256, 257}) {
    for (const std::size_t offset : {3u, 19u}) {
      for (const std::size_t token : {0u, 15u}) {
        expect_no_overflow(tier(), 16, token, offset, rest);
      }
      for (const std::size_t token : {0u, 15u, 16u, 31u}) {
        expect_no_overflow(tier(), 32, token, offset, rest);
      }
    }
  }
}

TEST_P(TernaryTier, Quantize) {
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

TEST_P(TernaryTier, QuantizeRoundsHalfToEvenAndKeepsTheRange) {
  // Largest magnitude 127 makes the factor 1, so each x is its own code before rounding.
  const std::vector<float> x{127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -126.5f, -127.0f};
  const Activations a = quantized(tier(), x, x.size());
  const std::vector<std::int8_t> expected{127, 0, 2, 2, 0, -2, -2, -126, -127};
  EXPECT_EQ(std::vector<std::int8_t>(a.values.begin(), a.values.begin() + 9), expected);
  EXPECT_EQ(a.scales[0], 1.0f);
  EXPECT_EQ(a.sums[0], 127 + 2 + 2 - 2 - 2 - 126 - 127);
}

TEST_P(TernaryTier, QuantizeOfZerosIsZero) {
  const Activations a = quantized(tier(), std::vector<float>(40, 0.0f), 40);
  EXPECT_EQ(a.values, std::vector<std::int8_t>(padded_columns(40), 0));
  EXPECT_EQ(a.scales[0], 1e-5f / 127.0f);
}

TEST_P(TernaryTier, QuantizeRefusesNonFinite) {
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

TEST_P(TernaryTier, MultiplyAccumulateLoopCounts) {
  const std::uint64_t one = tier().multiply_accumulate_loop(1000);
  EXPECT_GE(one, 1000u);
  EXPECT_EQ(tier().multiply_accumulate_loop(3000), 3 * one);
}

INSTANTIATE_TEST_SUITE_P(Kernels, TernaryTier, ::testing::ValuesIn(tested_tables()),
                         tier_test_name);

}  // namespace
}  // namespace tern::kernels
