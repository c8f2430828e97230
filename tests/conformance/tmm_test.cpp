// The products of the AMX tier over emulated tile registers and portable vectors: every CPU holds
// them to the scalar definition, bit for bit, on unfriendly shapes. The whole tier over such
// registers is among the tiers of tiers.h. What only a CPU with AMX can show, that its instructions
// do what is emulated, is in the tier's own conformance.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "conformance/ternary_values.h"
#include "conformance/values.h"
#include "kernels/generic/constants.h"
#include "kernels/registry.h"

#define TERN_INLINE inline

namespace tern::kernels {
namespace {

#include "conformance/emulated/kernels/amx/tmm.h"

void unpack_tile(const std::uint8_t* tile, Packing packing, std::uint8_t* to) {
  constexpr int kDivisors[5] = {3, 1, 9, 3, 1};  // of the group of two, and of what is left
  for (int plane = 0; plane < (packing == Packing::kFiveTrits ? 5 : 4); ++plane) {
    for (std::size_t i = 0; i < kTileBytes; ++i) {
      const int of = plane < 2 ? tile[i] / 28 : tile[i] % 28;
      *to++ = packing == Packing::kTwoBits ? static_cast<std::uint8_t>(tile[i] >> (2 * plane) & 3)
                                           : static_cast<std::uint8_t>(of / kDivisors[plane] % 3);
    }
  }
}
void write_sums(const std::int32_t* sums, std::int32_t sum, float factor, std::size_t rows,
                float* y) {
  for (std::size_t r = 0; r < rows; ++r) y[r] = static_cast<float>(sums[r] - sum) * factor;
}

#include "kernels/generic/tmm_body.h"

void expect_definition(std::size_t rows, std::size_t columns, std::size_t tokens, Packing packing) {
  const Weights w =
      random_weights(rows, columns, packing, static_cast<std::uint32_t>(columns + rows));
  Activations x = quantized(scalar_table(), normals(tokens * columns, 5), columns);
  const std::size_t used = w.tiles.tiles * columns_of_tile(packing);
  for (std::size_t t = 0; t < tokens; ++t) {  // what lies behind the last tile does not matter
    for (std::size_t c = used; c < x.rows.stride; ++c) x.values[t * x.rows.stride + c] = 99;
  }
  registers.values_end = x.values.data() + x.values.size();
  const std::size_t y_stride = rows + 3;
  std::vector<float> expected(tokens * y_stride, -7.0f);
  std::vector<float> found = expected;
  scalar_table().ternary_linear(w.tiles, rows, x.rows, tokens, expected.data(), y_stride);
  if (packing == Packing::kFiveTrits) {
    tmm_linear<Packing::kFiveTrits>(w.tiles, rows, x.rows, tokens, found.data(), y_stride);
  } else {
    tmm_linear<Packing::kTwoBits>(w.tiles, rows, x.rows, tokens, found.data(), y_stride);
  }
  ASSERT_FALSE(registers.configured);
  ASSERT_TRUE(same_bits(expected, found)) << columns << " x " << rows << " x " << tokens;
}

TEST(Tmm, EqualsTheDefinition) {
  for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
    for (const std::size_t columns : {1u, 20u, 21u, 64u, 80u, 100u, 272u}) {
      for (const std::size_t rows : {1u, 16u, 29u, 33u, 80u}) {
        for (const std::size_t tokens : {1u, 7u, 15u, 16u, 17u, 32u, 33u, 50u}) {
          expect_definition(rows, columns, tokens, packing);
        }
      }
    }
  }
}

// More columns than a block and two have, and exactly as many, of one tile of tokens and more.
TEST(Tmm, EqualsTheDefinitionForManyColumns) {
  for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
    for (const std::size_t columns : {300u, 320u, 321u, 640u, 641u, 1280u, 1281u, 8640u}) {
      for (const std::size_t tokens : {5u, 16u, 25u, 32u, 37u, 64u, 65u}) {
        expect_definition(48, columns, tokens, packing);
      }
      expect_definition(16, columns, 32, packing);
    }
  }
}

// Whole bands of rows, and what is left behind them: of two groups in turn, of four, and of one.
TEST(Tmm, EqualsTheDefinitionForManyRows) {
  for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
    for (const std::size_t rows : {64u, 96u, 256u, 257u, 336u, 530u}) {
      for (const std::size_t tokens : {16u, 32u, 41u})
        expect_definition(rows, 700, tokens, packing);
    }
  }
}

// Whole blocks behind which the next is of other rows, of pairs of tiles and of one, with a group
// that is left over.
TEST(Tmm, EqualsTheDefinitionForManyRowsAndColumns) {
  for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
    for (const std::size_t columns : {640u, 641u, 1280u}) {
      for (const std::size_t tokens : {5u, 16u, 32u, 48u, 65u}) {
        expect_definition(144, columns, tokens, packing);
      }
    }
  }
}

TEST(Tmm, EqualsTheDefinitionForManyTokens) {
  for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
    for (const std::size_t tokens : {512u, 529u}) expect_definition(40, 100, tokens, packing);
  }
}

}  // namespace
}  // namespace tern::kernels
