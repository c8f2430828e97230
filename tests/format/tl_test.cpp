#include "format/ternary/tl.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace tern::format {
namespace {

constexpr auto kTl1 = TlLayout::kTl1;
constexpr auto kTl2 = TlLayout::kTl2;

struct Matrix {
  TlLayout layout;
  std::uint64_t rows;
  std::uint64_t columns;
  TlTiling tiling;
};

std::vector<std::byte> encoded(const Matrix& m, const std::vector<std::int8_t>& trits,
                               float scale = 0.5f) {
  std::vector<std::byte> bytes(tl_bytes(m.layout, m.rows, m.columns));
  const auto put = [&](const TlRun& run) {
    std::ranges::copy(run.bytes, bytes.begin() + static_cast<std::ptrdiff_t>(run.offset));
  };
  for (const TlRun& run :
       encode_tl_rows(m.layout, m.rows, m.columns, m.tiling, 0, m.rows, trits.data())) {
    put(run);
  }
  put(tl_tail(m.layout, m.rows, m.columns, m.tiling, scale));
  return bytes;
}

void expect_error(const auto& result, ErrorCode code, std::string_view fragment) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, code);
  EXPECT_NE(result.error().message.find(fragment), std::string::npos) << result.error().message;
}

// Of a matrix of zeros but for one weight, the byte that is not that of zeros.
struct Place {
  std::size_t byte;
  unsigned value;
};
Place place_of(const Matrix& m, std::uint64_t row, std::uint64_t column, std::int8_t trit) {
  std::vector<std::int8_t> trits(m.rows * m.columns);
  const auto zeros = encoded(m, trits);
  trits[row * m.columns + column] = trit;
  const auto bytes = encoded(m, trits);
  const auto at = std::mismatch(bytes.begin(), bytes.end(), zeros.begin()).first;
  return {static_cast<std::size_t>(at - bytes.begin()), std::to_integer<unsigned>(*at)};
}

// By hand, from the reshapes of bitnet.cpp's converter. A pair of zeros is 4.
TEST(Tl, PlacesEachValueOfTl1) {
  const Matrix m{kTl1, 128, 128, {64, 64, 32}};
  const auto expect = [&](std::uint64_t row, std::uint64_t column, std::int8_t trit,
                          std::size_t byte, unsigned value) {
    const Place found = place_of(m, row, column, trit);
    EXPECT_EQ(found.byte, byte) << row << ", " << column;
    EXPECT_EQ(found.value, value) << row << ", " << column;
  };
  expect(0, 0, 1, 0, 0x74);  // 3*1 + 0 + 4 in the high bits
  expect(0, 1, -1, 0, 0x34);
  expect(0, 2, 1, 0, 0x47);
  expect(0, 3, 1, 0, 0x45);
  expect(1, 0, 1, 1, 0x74);      // the next row is the next byte
  expect(0, 4, 1, 16, 0x74);     // four columns on: behind 16 rows
  expect(16, 0, 1, 32, 0x74);    // the rows 16 to 31 of the group
  expect(0, 8, 1, 64, 0x74);     // the next 256 / 32 columns
  expect(32, 0, 1, 512, 0x74);   // the next block: 32 x 64 / 4
  expect(0, 64, 1, 1024, 0x74);  // the next tile: 64 x 64 / 4
  expect(64, 0, 1, 2048, 0x74);  // the next strip: 64 x 128 / 4
  const Matrix wide{kTl1, 64, 64, {64, 64, 64}};
  EXPECT_EQ(place_of(wide, 0, 4, 1).byte, 64u);  // a group is 4 columns of 64 rows
  EXPECT_EQ(place_of(wide, 16, 0, 1).byte, 16u);
}

// A triple of zeros is 0, and without a sign.
TEST(Tl, PlacesEachValueOfTl2) {
  const Matrix m{kTl2, 128, 256, {64, 96, 32}};  // 192 columns of triples, 64 of pairs
  const auto expect = [&](std::uint64_t row, std::uint64_t column, std::int8_t trit,
                          std::size_t byte, unsigned value) {
    const Place found = place_of(m, row, column, trit);
    EXPECT_EQ(found.byte, byte) << row << ", " << column;
    EXPECT_EQ(found.value, value) << row << ", " << column;
  };
  expect(0, 0, 1, 0, 0x90);
  expect(0, 1, 1, 0, 0x30);
  expect(0, 2, 1, 0, 0x10);
  expect(0, 3, 1, 0, 0x09);
  expect(0, 6, 1, 32, 0x90);  // the next group
  expect(8, 0, 1, 16, 0x90);  // rows 8 to 15 in the third quarter
  expect(16, 0, 1, 8, 0x90);
  expect(31, 0, 1, 31, 0x90);
  expect(32, 0, 1, 512, 0x90);   // the next block: 32 x 96 / 6
  expect(0, 96, 1, 1024, 0x90);  // the next tile
  expect(64, 0, 1, 2048, 0x90);  // the next strip: 64 x 192 / 6
  constexpr std::size_t kPairs = 128 * 192 / 6 + 128 * 192 / 24;
  expect(0, 192, 1, kPairs, 0x74);
  expect(0, 194, -1, kPairs, 0x41);
  expect(0, 196, 1, kPairs + 32, 0x74);
  expect(8, 192, 1, kPairs + 16, 0x74);
  expect(32, 192, 1, kPairs + 256, 0x74);   // 32 x 32 / 4
  expect(0, 224, 1, kPairs + 512, 0x74);    // 64 x 32 / 4
  expect(64, 192, 1, kPairs + 1024, 0x74);  // 64 x 64 / 4
}

TEST(Tl, PlacesEachSignOfTl2) {
  const Matrix m{kTl2, 128, 256, {64, 96, 32}};
  constexpr std::size_t kSigns = 128 * 192 / 6;
  const auto sign_of = [&](std::uint64_t row, std::uint64_t column) {
    std::vector<std::int8_t> trits(m.rows * m.columns);
    trits[row * m.columns + column] = -1;
    const auto bytes = encoded(m, trits);
    for (std::size_t at = kSigns; at < kSigns + 128 * 192 / 24; at += 2) {
      const unsigned word =
          std::to_integer<unsigned>(bytes[at]) | std::to_integer<unsigned>(bytes[at + 1]) << 8;
      if (word != 0) return std::pair(at - kSigns, word);
    }
    return std::pair(std::size_t{0}, 0u);
  };
  EXPECT_EQ(sign_of(0, 0), (std::pair<std::size_t, unsigned>(0, 0x8000)));
  EXPECT_EQ(sign_of(16, 0), (std::pair<std::size_t, unsigned>(0, 0x4000)));
  EXPECT_EQ(sign_of(0, 3), (std::pair<std::size_t, unsigned>(0, 0x2000)));
  EXPECT_EQ(sign_of(31, 23), (std::pair<std::size_t, unsigned>(30, 0x0001)));
  EXPECT_EQ(sign_of(1, 0), (std::pair<std::size_t, unsigned>(2, 0x8000)));
  EXPECT_EQ(sign_of(0, 24), (std::pair<std::size_t, unsigned>(32, 0x8000)));
  EXPECT_EQ(sign_of(32, 0), (std::pair<std::size_t, unsigned>(128, 0x8000)));
  EXPECT_EQ(sign_of(0, 96), (std::pair<std::size_t, unsigned>(256, 0x8000)));
  EXPECT_EQ(sign_of(64, 0), (std::pair<std::size_t, unsigned>(512, 0x8000)));
}

// What bitnet.cpp's ggml_nbytes gives for the shapes of its models.
TEST(Tl, Sizes) {
  EXPECT_EQ(tl_bytes(kTl1, 3200, 8640), 3200u * 8640 / 4 + 32);
  // (8640 - 256) * 3200 / 3 * 5 / 8 + 256 * 3200 / 4, up to a multiple of 32, and 32.
  EXPECT_EQ(tl_bytes(kTl2, 3200, 8640), 5589333u + 204800 + 11 + 32);
  EXPECT_EQ(tl_bytes(kTl2, 128, 256), 128u * 64 + 32);
}

TEST(Tl, CanonicalTilings) {
  const auto expect = [](TlLayout layout, std::uint64_t rows, std::uint64_t columns,
                         const TlTiling& expected) {
    const TlTiling found = canonical_tl_tiling(layout, rows, columns);
    EXPECT_EQ(found, expected) << rows << " x " << columns;
    EXPECT_TRUE(check_tl_tiling(layout, rows, columns, found).ok());
  };
  expect(kTl1, 256, 256, {256, 128, 32});
  expect(kTl1, 3200, 8640, {160, 64, 32});
  expect(kTl1, 32, 32, {32, 32, 32});
  expect(kTl2, 3200, 8640, {160, 96, 32});
  expect(kTl2, 14336, 4096, {256, 96, 32});
}

TEST(Tl, ShapesThatItCannotHave) {
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  expect_error(check_tl_shape(kTl1, 48, 64), kUnsupported,
               "tl1: expected rows and columns of positive multiples of 32, found 48 x 64");
  expect_error(check_tl_shape(kTl1, 64, 48), kUnsupported, "found 64 x 48");
  expect_error(check_tl_shape(kTl1, 0, 64), kUnsupported, "found 0 x 64");
  expect_error(check_tl_shape(kTl1, 64, 0), kUnsupported, "found 64 x 0");
  expect_error(check_tl_shape(kTl1, (1u << 24) + 32, 64), kUnsupported, "at most 16777216");
  expect_error(check_tl_shape(kTl1, 64, (1u << 24) + 32), kUnsupported, "at most 16777216");
  EXPECT_TRUE(check_tl_shape(kTl1, 1u << 24, 1u << 24).ok());
  expect_error(check_tl_shape(kTl2, 64, 224), kUnsupported,
               "tl2: expected at least 256 columns, found 224");
  EXPECT_TRUE(check_tl_shape(kTl2, 64, 256).ok());
  EXPECT_TRUE(check_tl_shape(kTl1, 64, 224).ok());
}

TEST(Tl, TilingsThatDoNotFit) {
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  const auto one = [](const TlTiling& tiling) { return check_tl_tiling(kTl1, 256, 128, tiling); };
  const auto two = [](const TlTiling& tiling) { return check_tl_tiling(kTl2, 256, 512, tiling); };
  EXPECT_TRUE(one({64, 64, 64}).ok());
  EXPECT_TRUE(two({64, 96, 32}).ok());
  expect_error(one({64, 64, 16}), kUnsupported, "blocks of 32 or 64 rows (bmm), found 16");
  expect_error(two({64, 96, 64}), kUnsupported, "tl2: expected blocks of 32 rows (bmm), found 64");
  expect_error(one({96, 64, 64}), kUnsupported, "strips (bm) of a multiple of bmm 64 rows");
  expect_error(one({0, 64, 32}), kUnsupported, "at most 4096, found 0");
  expect_error(check_tl_tiling(kTl1, 8192, 128, {8192, 64, 32}), kUnsupported, "found 8192");
  EXPECT_TRUE(check_tl_tiling(kTl1, 8192, 128, {4096, 64, 32}).ok());
  expect_error(one({96, 64, 32}), kUnsupported, "rows of a multiple of bm 96, found 256");
  expect_error(one({64, 48, 32}), kUnsupported,
               "tiles (bk) of a multiple of 8 columns that divides the 128, found 48");
  expect_error(one({64, 4, 32}), kUnsupported, "found 4");
  EXPECT_TRUE(one({64, 4, 64}).ok());
  expect_error(one({64, 0, 32}), kUnsupported, "found 0");
  expect_error(two({64, 32, 32}), kUnsupported, "tiles (bk) of a multiple of 24 columns, found 32");
  expect_error(two({64, 0, 32}), kUnsupported, "of a multiple of 24 columns, found 0");
  EXPECT_TRUE(two({64, 120, 32}).ok());
  expect_error(check_tl_tiling(kTl2, 256, 672, {64, 384, 32}), kUnsupported,
               "of 672 columns, tiles (bk) of 384 leave 288; expected a multiple of 32 that is at "
               "most 256");
  expect_error(two({64, 528, 32}), kUnsupported, "of 512 columns, tiles (bk) of 528 leave 512");
  expect_error(two({64, 72, 32}), kUnsupported, "tiles (bk) of 72 leave 8");
  expect_error(check_tl_tiling(kTl2, 256, 256, {64, 264, 32}), kUnsupported,
               "of 256 columns, tiles (bk) of 264 leave 256");
}

TEST(Tl, FindsIndicesWithoutAMeaning) {
  const Matrix m{kTl2, 32, 256, {32, 96, 32}};
  std::vector<std::int8_t> trits(m.rows * m.columns);
  const auto zeros = encoded(m, trits);
  std::uint64_t without_meaning = 0;
  const auto found = [&](std::size_t at, unsigned byte) {
    auto bytes = zeros;
    bytes[at] = static_cast<std::byte>(byte);
    const auto matrix = TlMatrix::bind(m.layout, bytes, m.rows, m.columns, m.tiling);
    const auto invalid = matrix->find_invalid(0, 32);
    const auto counts = matrix->count_codes(0, 32);
    EXPECT_EQ(counts[3] != 0, invalid.has_value());
    EXPECT_EQ(counts[0] + counts[1] + counts[2] + counts[3], trits.size());
    without_meaning = counts[3];
    return invalid;
  };
  EXPECT_EQ(found(0, 0xd0), std::nullopt);
  EXPECT_EQ(found(0, 0xe0), 0u);
  EXPECT_EQ(found(0, 0x0e), 3u);
  EXPECT_EQ(found(33, 0xe0), 256u + 6);
  constexpr std::size_t kSigns = 32 * 192 / 6;
  EXPECT_EQ(found(kSigns + 1, 0x80), 0u);  // a sign of no weight
  EXPECT_EQ(found(kSigns + 1, 0x20), 3u);
  constexpr std::size_t kPairs = kSigns + 32 * 192 / 24;
  EXPECT_EQ(found(kPairs, 0x84), std::nullopt);
  EXPECT_EQ(found(kPairs, 0x94), 192u);
  EXPECT_EQ(found(kPairs, 0x49), 194u);
  for (unsigned index = 9; index < 16; ++index) {  // of both its trits
    EXPECT_EQ(found(kPairs, index << 4 | 4), 192u) << index;
    EXPECT_EQ(without_meaning, 2u) << index;
  }
  EXPECT_EQ(found(zeros.size() - 33, 0xff), std::nullopt);  // padding
}

TEST(Tl, BindRefusesWhatDoesNotFit) {
  for (const Matrix& m : {Matrix{kTl1, 64, 256, {64, 128, 32}}, {kTl2, 64, 256, {64, 96, 32}}}) {
    auto bytes = encoded(m, std::vector<std::int8_t>(64 * 256));
    const auto bind = [&](const TlTiling& tiling) {
      return TlMatrix::bind(m.layout, bytes, m.rows, m.columns, tiling);
    };
    EXPECT_TRUE(bind(m.tiling).ok());
    EXPECT_EQ(bind(m.tiling)->scale(), 0.5f);
    expect_error(bind({}), ErrorCode::kUnsupported,
                 "the tiling of its 64 x 256 is not known: expected a section with m = 64, k = "
                 "256, bm, bk and bmm in kernel_config.ini");
    expect_error(bind({128, 96, 32}), ErrorCode::kUnsupported, "multiple of bm 128, found 64");
    expect_error(TlMatrix::bind(m.layout, bytes, 48, 256, m.tiling), ErrorCode::kUnsupported,
                 "found 48 x 256");
    bytes.pop_back();
    expect_error(bind(m.tiling), ErrorCode::kMalformed, "bytes for 64 x 256, found ");
    bytes.push_back({});
    for (const float scale : {-1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
      std::memcpy(bytes.data() + bytes.size() - 32, &scale, sizeof scale);
      expect_error(bind(m.tiling), ErrorCode::kMalformed, "expected a finite scale");
    }
  }
}

}  // namespace
}  // namespace tern::format
