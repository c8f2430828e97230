#include "format/ternary/tq.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/float16.h"
#include "format/gguf/gguf_file.h"

namespace tern::format {
namespace {

constexpr auto kTq1 = TqLayout::kTQ1_0;
constexpr auto kTq2 = TqLayout::kTQ2_0;
constexpr TqLayout kLayouts[] = {kTq1, kTq2};

std::vector<std::int8_t> random_trits(std::size_t count) {
  std::mt19937 generator(3);
  std::vector<std::int8_t> trits(count);
  for (auto& trit : trits) trit = static_cast<std::int8_t>(static_cast<int>(generator() % 3) - 1);
  return trits;
}

std::vector<std::byte> encoded(TqLayout layout, const std::vector<std::int8_t>& trits,
                               float scale) {
  const std::uint64_t blocks = trits.size() / kTqBlockElements;
  std::vector<std::byte> bytes(blocks * tq_block_bytes(layout));
  encode_tq_blocks(layout, trits.data(), blocks, f32_to_f16(scale), bytes.data());
  return bytes;
}

TqMatrix bound(TqLayout layout, const std::vector<std::byte>& bytes, std::uint64_t rows,
               std::uint64_t columns) {
  auto matrix = TqMatrix::bind(layout, bytes, rows, columns);
  EXPECT_TRUE(matrix.ok()) << matrix.error().to_string();
  return *matrix;
}

void set_scale(TqLayout layout, std::vector<std::byte>& bytes, std::size_t block, float scale) {
  const std::uint16_t bits = f32_to_f16(scale);
  std::memcpy(bytes.data() + (block + 1) * tq_block_bytes(layout) - 2, &bits, 2);
}

void expect_error(const auto& result, ErrorCode code, std::string_view fragment) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, code);
  EXPECT_NE(result.error().message.find(fragment), std::string::npos) << result.error().message;
}

// The layouts, written out by hand.
TEST(Tq, PlacesEachValue) {
  std::vector<std::int8_t> trits(256, -1);
  trits[1] = 1;         // TQ2_0: byte 1, bits 1:0.    TQ1_0: byte 1, first digit
  trits[128 + 96] = 0;  // TQ2_0: byte 32, bits 7:6.   TQ1_0: 160 + 0 + 16*4: byte 32, last digit
  trits[252] = 1;       // TQ2_0: byte 32+28, bits 7:6. TQ1_0: 240 + 0 + 4*3: byte 48, last digit
  const auto two = encoded(kTq2, trits, 0.5f);
  ASSERT_EQ(two.size(), 66u);
  const auto one = encoded(kTq1, trits, 0.5f);
  ASSERT_EQ(one.size(), 54u);
  for (std::size_t i = 0; i < 64; ++i) {
    const unsigned expected = i == 1 ? 2 : i == 32 ? 1 << 6 : i == 60 ? 2 << 6 : 0;
    EXPECT_EQ(two[i], static_cast<std::byte>(expected)) << i;
  }
  // v = 2*81, 1 and 2*3, as ceil(v * 256 / 243).
  for (std::size_t i = 0; i < 52; ++i) {
    const unsigned expected = i == 1 ? 171 : i == 32 ? 2 : i == 48 ? 7 : 0;
    EXPECT_EQ(one[i], static_cast<std::byte>(expected)) << i;
  }
  EXPECT_EQ(tq_block_scale(kTq1, one.data()), 0x3800);
  EXPECT_EQ(tq_block_scale(kTq2, two.data()), 0x3800);
}

// The same trits as another implementation encodes them: tests/reference/make_float_blocks.py.
TEST(Tq, AgreesWithTheReference) {
  const auto file = GgufFile::open(TERN_SOURCE_DIR "/tests/reference/data/float_blocks.gguf");
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  const Tensor* values = file->tensor("trits");
  ASSERT_NE(values, nullptr);
  std::vector<std::int8_t> trits(values->elements());
  for (std::size_t i = 0; i < trits.size(); ++i) {
    float value;
    std::memcpy(&value, values->data.data() + i * sizeof value, sizeof value);
    trits[i] = static_cast<std::int8_t>(value);
  }
  for (const TqLayout layout : kLayouts) {
    const Tensor* tensor = file->tensor(layout == kTq1 ? "trits.tq1_0" : "trits.tq2_0");
    ASSERT_NE(tensor, nullptr);
    const auto matrix = TqMatrix::bind(layout, tensor->data, tensor->rows(), tensor->columns());
    ASSERT_TRUE(matrix.ok()) << matrix.error().to_string();
    EXPECT_EQ(matrix->scale(), 0.0234375f);
    std::vector<std::int8_t> decoded(trits.size());
    matrix->decode_rows(0, matrix->rows(), decoded.data());
    EXPECT_EQ(decoded, trits);
    EXPECT_EQ(matrix->find_invalid(0, matrix->rows()), std::nullopt);
    auto own = encoded(layout, trits, 0.0234375f);
    set_scale(layout, own, 4, 0.0f);  // the block of zeros, where the reference has no scale
    EXPECT_TRUE(std::ranges::equal(own, tensor->data));
  }
}

TEST(Tq, DecodesAndCountsAnyRows) {
  const auto trits = random_trits(5 * 512);
  for (const TqLayout layout : kLayouts) {
    const auto bytes = encoded(layout, trits, 0.25f);
    const TqMatrix matrix = bound(layout, bytes, 5, 512);
    EXPECT_EQ(matrix.scale(), 0.25f);
    EXPECT_EQ(matrix.rows(), 5u);
    EXPECT_EQ(matrix.columns(), 512u);
    for (std::size_t first = 0; first < 5; ++first) {
      for (std::size_t count = 0; first + count <= 5; ++count) {
        std::vector<std::int8_t> decoded(count * 512, 99);
        matrix.decode_rows(first, count, decoded.data());
        const auto expected = std::span(trits).subspan(first * 512, count * 512);
        ASSERT_TRUE(std::ranges::equal(decoded, expected)) << first << '+' << count;
        std::array<std::uint64_t, 4> counts{};
        for (const auto trit : expected) ++counts[static_cast<std::size_t>(trit + 1)];
        ASSERT_EQ(matrix.count_codes(first, count), counts) << first << '+' << count;
      }
    }
  }
}

TEST(Tq, EveryByteOfTq1EitherComesFromTritsOrIsFound) {
  std::vector<std::int8_t> trits(256, -1);
  auto bytes = encoded(kTq1, trits, 1.0f);
  for (const auto& [at, digits, first] : {std::tuple{0u, 5u, 0u},
                                          {31u, 5u, 31u},
                                          {32u, 5u, 160u},
                                          {47u, 5u, 175u},
                                          {48u, 4u, 240u},
                                          {51u, 4u, 243u}}) {
    unsigned meaningful = 0;
    for (unsigned value = 0; value < 256; ++value) {
      auto changed = bytes;
      changed[at] = static_cast<std::byte>(value);
      const TqMatrix matrix = bound(kTq1, changed, 1, 256);
      std::vector<std::int8_t> decoded(256);
      matrix.decode_rows(0, 1, decoded.data());
      for (const auto trit : decoded) ASSERT_TRUE(trit >= -1 && trit <= 1);
      const bool comes_back = encoded(kTq1, decoded, 1.0f) == changed;
      const auto found = matrix.find_invalid(0, 1);
      ASSERT_EQ(comes_back, !found) << at << ' ' << value;
      EXPECT_EQ(found.value_or(first), first);
      meaningful += comes_back;
    }
    EXPECT_EQ(meaningful, digits == 5 ? 243u : 81u) << at;
  }
}

TEST(Tq, FindsTheFirstCode3) {
  const auto clean = encoded(kTq2, random_trits(3 * 512), 1.0f);
  EXPECT_EQ(bound(kTq2, clean, 3, 512).find_invalid(0, 3), std::nullopt);
  for (const std::uint64_t position : {0, 31, 32, 127, 128, 255, 256, 800, 1535}) {
    auto bytes = clean;
    const std::uint64_t within = position % 256;
    bytes[position / 256 * 66 + within / 128 * 32 + within % 32] |=
        static_cast<std::byte>(3u << (2 * (within % 128 / 32)));
    const TqMatrix matrix = bound(kTq2, bytes, 3, 512);
    EXPECT_EQ(matrix.find_invalid(0, 3), position);
    EXPECT_EQ(matrix.find_invalid(position / 512, 1), position);
    EXPECT_EQ(matrix.find_invalid(0, position / 512), std::nullopt);
    EXPECT_EQ(matrix.find_invalid(position / 512 + 1, 2 - position / 512), std::nullopt);
    EXPECT_EQ(matrix.count_codes(0, 3)[3], 1u);
  }
}

// Bits of the scale that would be a code 3 are none.
TEST(Tq, TheScaleIsNoCode) {
  auto bytes = encoded(kTq2, std::vector<std::int8_t>(256), 0.5f);
  bytes[64] = std::byte{0x03};
  const auto matrix = TqMatrix::bind(kTq2, bytes, 1, 256);
  ASSERT_TRUE(matrix.ok());
  EXPECT_EQ(matrix->find_invalid(0, 1), std::nullopt);
}

TEST(Tq, RefusesAPartOfABlock) {
  for (const TqLayout layout : kLayouts) {
    auto bytes = encoded(layout, std::vector<std::int8_t>(256), 0.5f);
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(TqMatrix::bind(layout, bytes, 1, 256).ok());
  }
}

TEST(Tq, RefusesWhatDoesNotFit) {
  constexpr auto kMalformed = ErrorCode::kMalformed;
  for (const TqLayout layout : kLayouts) {
    const auto bytes = encoded(layout, random_trits(1024), 1.0f);
    const std::size_t block = tq_block_bytes(layout);
    expect_error(TqMatrix::bind(layout, bytes, 8, 128), kMalformed, "found 8 rows of 128");
    expect_error(TqMatrix::bind(layout, bytes, 0, 256), kMalformed, "found 0 rows of 256");
    expect_error(TqMatrix::bind(layout, bytes, 2, 0), kMalformed, "found 2 rows of 0");
    // 2^64 + 1024 elements: cut to 64 bits they would fit the bytes.
    expect_error(TqMatrix::bind(layout, bytes, (std::uint64_t{1} << 56) + 4, 256), kMalformed,
                 "found 72057594037927940 rows of 256");
    expect_error(TqMatrix::bind(layout, std::span(bytes).first(3 * block), 2, 512), kMalformed,
                 "expected 4 blocks of " + std::to_string(block) + " bytes, found " +
                     std::to_string(3 * block) + " bytes");
    expect_error(TqMatrix::bind(layout, std::span(bytes).first(4 * block - 1), 2, 512), kMalformed,
                 "expected 4 blocks");
  }
}

TEST(Tq, RefusesMoreThanOneScale) {
  for (const TqLayout layout : kLayouts) {
    const auto clean = encoded(layout, random_trits(1024), 0.5f);
    const auto with = [&](std::size_t block, float scale) {
      auto bytes = clean;
      set_scale(layout, bytes, block, scale);
      return bytes;
    };
    const auto bind = [&](const std::vector<std::byte>& bytes) {
      return TqMatrix::bind(layout, bytes, 2, 512);
    };
    expect_error(bind(with(3, 0.25f)), ErrorCode::kUnsupported,
                 "expected one scale for the matrix, found 0.500000 in block 0 and 0.250000 in "
                 "block 3");
    expect_error(bind(with(0, 0.25f)), ErrorCode::kUnsupported,
                 "0.250000 in block 0 and 0.500000 in block 1");
    // A scale of 0 makes zeros of trits that are none.
    expect_error(bind(with(2, 0.0f)), ErrorCode::kUnsupported,
                 "0.500000 in block 0 and 0.000000 in block 2");
    expect_error(bind(with(0, 0.0f)), ErrorCode::kUnsupported,
                 "0.000000 in block 0 and 0.500000 in block 1");
    for (const float scale :
         {-0.5f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      expect_error(bind(with(1, scale)), ErrorCode::kMalformed,
                   "expected a finite scale of at least 0 in block 1, found ");
    }
  }
}

TEST(Tq, ABlockOfZerosNeedsNoScale) {
  std::vector<std::int8_t> trits = random_trits(1024);
  std::fill(trits.begin(), trits.begin() + 256, std::int8_t{0});
  for (const TqLayout layout : kLayouts) {
    auto bytes = encoded(layout, trits, 0.5f);
    set_scale(layout, bytes, 0, -0.0f);
    EXPECT_EQ(bound(layout, bytes, 2, 512).scale(), 0.5f);
    const auto zeros = encoded(layout, std::vector<std::int8_t>(512), 0.0f);
    EXPECT_EQ(bound(layout, zeros, 1, 512).scale(), 0.0f);
  }
}

}  // namespace
}  // namespace tern::format
