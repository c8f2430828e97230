#include "format/ternary/tl.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "format/ternary/decoded_rows.h"

namespace tern::format {
namespace {

constexpr unsigned kPairs = 9;     // indices of two weights
constexpr unsigned kTriples = 14;  // of three without their sign
constexpr std::uint32_t kMostBm = 4096;

constexpr std::string_view name(TlLayout layout) {
  return layout == TlLayout::kTl1 ? "tl1" : "tl2";
}

Error unsupported(TlLayout layout, const std::string& message) {
  return Error{ErrorCode::kUnsupported, std::string(name(layout)) + ": " + message, ""};
}

std::string shape_text(std::uint64_t rows, std::uint64_t columns) {
  return std::to_string(rows) + " x " + std::to_string(columns);
}

// A matrix's parts in bytes. TL1 has pairs alone.
struct Geometry {
  Geometry(TlLayout layout, std::uint64_t rows, std::uint64_t columns, const TlTiling& tiling)
      : tl2(layout == TlLayout::kTl2),
        bm(tiling.bm),
        bk(tiling.bk),
        bmm(tiling.bmm),
        triples(tl2 ? columns / bk * bk : 0),
        pairs(columns - triples),
        signs_begin(rows * triples / 6),
        pairs_begin(signs_begin + rows * triples / 24),
        end(pairs_begin + rows * pairs / 4) {}

  bool tl2;
  std::uint64_t bm;
  std::uint64_t bk;
  std::uint64_t bmm;
  std::uint64_t triples;  // columns of triples
  std::uint64_t pairs;    // and of pairs
  std::uint64_t signs_begin;
  std::uint64_t pairs_begin;
  std::uint64_t end;
};

// The byte of a row among the 32 of a group.
constexpr std::uint64_t swapped(std::uint64_t row) {
  const std::uint64_t eighth = row / 8;
  const std::uint64_t to = eighth == 1 ? 2 : eighth == 2 ? 1 : eighth;
  return to * 8 + row % 8;
}

// Calls visit(byte, column) for each byte of a row of TL1, which holds four columns.
template <typename Visit>
void each_tl1_byte(const Geometry& g, std::uint64_t row, Visit visit) {
  const std::uint64_t strip = row / g.bm;
  const std::uint64_t block = row % g.bm / g.bmm;
  const std::uint64_t in_block = row % g.bmm;
  const std::uint64_t fours = 64 / g.bmm;  // of a group's columns
  for (std::uint64_t column = 0; column < g.pairs; column += g.bk) {
    const std::uint64_t begin = strip * g.pairs * g.bm + column * g.bm + block * g.bmm * g.bk;
    std::uint64_t at = begin / 4 + in_block / 16 * fours * 16 + in_block % 16;
    for (std::uint64_t c = 0; c < g.bk; c += 4 * fours, at += 64) {
      for (std::uint64_t four = 0; four < fours; ++four) {
        visit(at + four * 16, column + c + four * 4);
      }
    }
  }
}

// Calls visit(byte, column) for each byte of a row's pairs in TL2, which holds four columns.
template <typename Visit>
void each_tl2_pair_byte(const Geometry& g, std::uint64_t row, Visit visit) {
  constexpr std::uint64_t kTile = 32;  // columns
  const std::uint64_t strip = g.pairs_begin + row / g.bm * g.bm * g.pairs / 4;
  const std::uint64_t block = row % g.bm / 32 * (32 * kTile / 4);
  for (std::uint64_t column = 0; column < g.pairs; column += kTile) {
    std::uint64_t at = strip + column * g.bm / 4 + block + swapped(row % 32);
    for (std::uint64_t c = 0; c < kTile; c += 4, at += 32) visit(at, g.triples + column + c);
  }
}

// Calls visit(byte, sign word, bits to the sign of its first triple, column) for each byte of a
// row's triples, which holds six columns; the second's sign is two bits lower.
template <typename Visit>
void each_triple_byte(const Geometry& g, std::uint64_t row, Visit visit) {
  const std::uint64_t strip = row / g.bm * g.bm * g.triples;
  const std::uint64_t block = row % g.bm / 32 * 32 * g.bk;
  const auto high = static_cast<unsigned>(row % 32 / 16);
  for (std::uint64_t column = 0; column < g.triples; column += g.bk) {
    const std::uint64_t begin = strip + column * g.bm + block;  // in values
    for (std::uint64_t c = 0; c < g.bk; c += 6) {
      const std::uint64_t word = g.signs_begin + (begin + c / 24 * 24 * 32) / 24 + row % 16 * 2;
      const auto triple = static_cast<unsigned>(c % 24 / 3);
      visit(begin / 6 + c / 6 * 32 + swapped(row % 32), word, 15 - 2 * triple - high, column + c);
    }
  }
}

void decode_pair(unsigned index, std::int8_t* trits) {
  if (index >= kPairs) {
    trits[0] = trits[1] = kNoTrit;
    return;
  }
  trits[0] = static_cast<std::int8_t>(static_cast<int>(index / 3) - 1);
  trits[1] = static_cast<std::int8_t>(static_cast<int>(index % 3) - 1);
}

unsigned pair_index(const std::int8_t* trits) {
  return static_cast<unsigned>(3 * trits[0] + trits[1] + 4);
}

void decode_pairs(std::byte byte, std::int8_t* trits) {
  const auto both = std::to_integer<unsigned>(byte);
  decode_pair(both >> 4, trits);
  decode_pair(both & 15u, trits + 2);
}

std::byte encode_pairs(const std::int8_t* trits) {
  return static_cast<std::byte>(pair_index(trits) << 4 | pair_index(trits + 2));
}

// 13 more than the index has the three codes as digits.
void decode_triple(unsigned index, bool negative, std::int8_t* trits) {
  if (index >= kTriples || (index == 0 && negative)) {
    trits[0] = trits[1] = trits[2] = kNoTrit;
    return;
  }
  const unsigned v = index + 13;
  const int sign = negative ? -1 : 1;
  trits[0] = static_cast<std::int8_t>(sign * (static_cast<int>(v / 9) - 1));
  trits[1] = static_cast<std::int8_t>(sign * (static_cast<int>(v / 3 % 3) - 1));
  trits[2] = static_cast<std::int8_t>(sign * (static_cast<int>(v % 3) - 1));
}

int triple_number(const std::int8_t* trits) { return 9 * trits[0] + 3 * trits[1] + trits[2]; }

unsigned load_word(const std::byte* at) {
  std::uint16_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

void set_bits(std::byte* at, unsigned bits) {
  const auto word = static_cast<std::uint16_t>(load_word(at) | bits);
  std::memcpy(at, &word, sizeof word);
}

void decode_row(const Geometry& g, const std::byte* data, std::uint64_t row, std::int8_t* trits) {
  const auto pairs = [&](std::uint64_t at, std::uint64_t column) {
    decode_pairs(data[at], trits + column);
  };
  if (!g.tl2) return each_tl1_byte(g, row, pairs);
  each_triple_byte(g, row,
                   [&](std::uint64_t at, std::uint64_t word, unsigned bit, std::uint64_t column) {
                     const auto both = std::to_integer<unsigned>(data[at]);
                     const unsigned signs = load_word(data + word) >> (bit - 2);
                     decode_triple(both >> 4, (signs & 4u) != 0, trits + column);
                     decode_triple(both & 15u, (signs & 1u) != 0, trits + column + 3);
                   });
  each_tl2_pair_byte(g, row, pairs);
}

// `bm` and what follows from it, for both layouts.
Result<void> check_rows(TlLayout layout, std::uint64_t rows, const TlTiling& tiling) {
  const bool wide = layout == TlLayout::kTl1 && tiling.bmm == 64;
  if (tiling.bmm != 32 && !wide) {
    return unsupported(layout, std::string("expected blocks of ") +
                                   (layout == TlLayout::kTl1 ? "32 or 64" : "32") +
                                   " rows (bmm), found " + std::to_string(tiling.bmm));
  }
  if (tiling.bm == 0 || tiling.bm % tiling.bmm != 0 || tiling.bm > kMostBm) {
    return unsupported(layout, "expected strips (bm) of a multiple of bmm " +
                                   std::to_string(tiling.bmm) + " rows, at most " +
                                   std::to_string(kMostBm) + ", found " +
                                   std::to_string(tiling.bm));
  }
  if (rows % tiling.bm == 0) return {};
  return unsupported(layout, "expected rows of a multiple of bm " + std::to_string(tiling.bm) +
                                 ", found " + std::to_string(rows));
}

}  // namespace

Result<void> check_tl_shape(TlLayout layout, std::uint64_t rows, std::uint64_t columns) {
  if (rows == 0 || columns == 0 || rows % kTlRows != 0 || columns % kTlColumns != 0) {
    return unsupported(layout, "expected rows and columns of positive multiples of 32, found " +
                                   shape_text(rows, columns));
  }
  if (rows > kTlMostColumns || columns > kTlMostColumns) {
    return unsupported(
        layout, "expected at most 16777216 rows and columns, found " + shape_text(rows, columns));
  }
  if (layout == TlLayout::kTl1 || columns >= kTl2LeastColumns) return {};
  return unsupported(layout, "expected at least 256 columns, found " + std::to_string(columns));
}

std::uint64_t tl_bytes(TlLayout layout, std::uint64_t rows, std::uint64_t columns) {
  if (layout == TlLayout::kTl1) return rows * columns / 4 + kTlTailBytes;
  const std::uint64_t codes = (columns - 256) * rows / 3 * 5 / 8 + rows * 64;
  return (codes + 31) / 32 * 32 + kTlTailBytes;
}

Result<void> check_tl_tiling(TlLayout layout, std::uint64_t rows, std::uint64_t columns,
                             const TlTiling& tiling) {
  TERN_TRY(check_tl_shape(layout, rows, columns));
  TERN_TRY(check_rows(layout, rows, tiling));
  if (layout == TlLayout::kTl1) {
    const std::uint64_t group = 256 / tiling.bmm;
    if (tiling.bk != 0 && tiling.bk % group == 0 && columns % tiling.bk == 0) return {};
    return unsupported(layout, "expected tiles (bk) of a multiple of " + std::to_string(group) +
                                   " columns that divides the " + std::to_string(columns) +
                                   ", found " + std::to_string(tiling.bk));
  }
  if (tiling.bk == 0 || tiling.bk % 24 != 0) {
    return unsupported(layout, "expected tiles (bk) of a multiple of 24 columns, found " +
                                   std::to_string(tiling.bk));
  }
  const Geometry g(layout, rows, columns, tiling);
  if (g.triples == 0 || g.pairs % 32 != 0 ||
      g.end + kTlTailBytes > tl_bytes(layout, rows, columns)) {
    return unsupported(layout, "of " + std::to_string(columns) + " columns, tiles (bk) of " +
                                   std::to_string(tiling.bk) + " leave " + std::to_string(g.pairs) +
                                   "; expected a multiple of 32 that is at most 256");
  }
  return {};
}

TlTiling canonical_tl_tiling(TlLayout layout, std::uint64_t rows, std::uint64_t columns) {
  TlTiling tiling{256, 96, 32};
  while (rows % tiling.bm != 0) tiling.bm -= 32;
  if (layout == TlLayout::kTl2) return tiling;
  tiling.bk = 128;
  while (columns % tiling.bk != 0) tiling.bk /= 2;
  return tiling;
}

std::vector<TlRun> encode_tl_rows(TlLayout layout, std::uint64_t rows, std::uint64_t columns,
                                  const TlTiling& tiling, std::uint64_t first, std::uint64_t count,
                                  const std::int8_t* trits) {
  const Geometry g(layout, rows, columns, tiling);
  TlRun triples{first * g.triples / 6, std::vector<std::byte>(count * g.triples / 6)};
  TlRun signs{g.signs_begin + first * g.triples / 24,
              std::vector<std::byte>(count * g.triples / 24)};
  TlRun pairs{g.pairs_begin + first * g.pairs / 4, std::vector<std::byte>(count * g.pairs / 4)};
  for (std::uint64_t r = 0; r < count; ++r, trits += columns) {
    const auto put_pairs = [&](std::uint64_t at, std::uint64_t column) {
      pairs.bytes[at - pairs.offset] = encode_pairs(trits + column);
    };
    if (!g.tl2) {
      each_tl1_byte(g, first + r, put_pairs);
      continue;
    }
    each_triple_byte(g, first + r,
                     [&](std::uint64_t at, std::uint64_t word, unsigned bit, std::uint64_t column) {
                       const int a = triple_number(trits + column);
                       const int b = triple_number(trits + column + 3);
                       triples.bytes[at - triples.offset] =
                           static_cast<std::byte>(std::abs(a) << 4 | std::abs(b));
                       set_bits(signs.bytes.data() + (word - signs.offset),
                                (a < 0 ? 1u << bit : 0u) | (b < 0 ? 1u << (bit - 2) : 0u));
                     });
    each_tl2_pair_byte(g, first + r, put_pairs);
  }
  std::vector<TlRun> runs;
  for (TlRun* run : {&triples, &signs, &pairs}) {
    if (!run->bytes.empty()) runs.push_back(std::move(*run));
  }
  return runs;
}

TlRun tl_tail(TlLayout layout, std::uint64_t rows, std::uint64_t columns, const TlTiling& tiling,
              float scale) {
  const Geometry g(layout, rows, columns, tiling);
  TlRun run{g.end, std::vector<std::byte>(tl_bytes(layout, rows, columns) - g.end)};
  std::memcpy(run.bytes.data() + run.bytes.size() - kTlTailBytes, &scale, sizeof scale);
  return run;
}

Result<TlMatrix> TlMatrix::bind(TlLayout layout, std::span<const std::byte> bytes,
                                std::uint64_t rows, std::uint64_t columns, const TlTiling& tiling) {
  TERN_TRY(check_tl_shape(layout, rows, columns));
  if (!tiling.known()) {
    return unsupported(layout, "the tiling of its " + shape_text(rows, columns) +
                                   " is not known: expected a section with m = " +
                                   std::to_string(rows) + ", k = " + std::to_string(columns) +
                                   ", bm, bk and bmm in kernel_config.ini beside the file");
  }
  TERN_TRY(check_tl_tiling(layout, rows, columns, tiling));
  if (bytes.size() != tl_bytes(layout, rows, columns)) {
    return Error{ErrorCode::kMalformed,
                 std::string(name(layout)) + ": expected " +
                     std::to_string(tl_bytes(layout, rows, columns)) + " bytes for " +
                     shape_text(rows, columns) + ", found " + std::to_string(bytes.size()),
                 ""};
  }
  float scale = 0;
  std::memcpy(&scale, bytes.data() + bytes.size() - kTlTailBytes, sizeof scale);
  if (!std::isfinite(scale) || scale < 0) {
    return Error{ErrorCode::kMalformed,
                 std::string(name(layout)) +
                     ": expected a finite scale of at least 0 behind the codes, found " +
                     std::to_string(scale),
                 ""};
  }
  return TlMatrix(layout, bytes.data(), rows, columns, tiling, scale);
}

void TlMatrix::decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const {
  const Geometry g(layout_, rows_, columns_, tiling_);
  for (std::uint64_t r = 0; r < count; ++r) decode_row(g, data_, first + r, trits + r * columns_);
}

std::array<std::uint64_t, 4> TlMatrix::count_codes(std::uint64_t first, std::uint64_t count) const {
  return count_decoded(*this, first, count);
}

std::optional<std::uint64_t> TlMatrix::find_invalid(std::uint64_t first,
                                                    std::uint64_t count) const {
  return find_no_trit(*this, first, count);
}

}  // namespace tern::format
