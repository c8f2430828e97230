#include "format/ternary/iq_bn.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/float16.h"
#include "format/ternary/decoded_rows.h"

namespace tern::format {
namespace {

constexpr std::string_view name(IqBnLayout layout) {
  return layout == IqBnLayout::kIq1Bn ? "iq1_bn" : "iq2_bn";
}

constexpr std::size_t kGroups = 4;     // of 16 values, in a block
constexpr std::size_t kGroup = 16;     // values
constexpr std::size_t kDigits = 5;     // of a byte of IQ1_BN
constexpr std::size_t kLastByte = 12;  // with the last value of each group

constexpr std::uint8_t iq1_byte(unsigned v) {
  return static_cast<std::uint8_t>((v * 256 + 242) / 243);
}

// The five digits of each byte as trits; all kNoTrit where it means nothing.
using Digits = std::array<std::int8_t, kDigits>;
constexpr std::array<Digits, 256> make_iq1_digits() {
  std::array<Digits, 256> table{};
  for (Digits& digits : table) digits.fill(kNoTrit);
  for (unsigned v = 0; v < 243; ++v) {
    unsigned rest = v;
    for (std::int8_t& digit : table[iq1_byte(v)]) {
      digit = static_cast<std::int8_t>(static_cast<int>(rest % 3) - 1);
      rest /= 3;
    }
  }
  return table;
}
constexpr auto kIq1Digits = make_iq1_digits();

void decode_iq1(const std::byte* block, std::int8_t* trits) {
  const Digits& lasts = kIq1Digits[std::to_integer<std::size_t>(block[kLastByte])];
  // Four digits: the fifth is 0, and means nothing else.
  const bool known = lasts[kGroups] == -1;
  for (std::size_t group = 0; group < kGroups; ++group) {
    for (std::size_t k = 0; k < 3; ++k) {
      const auto& digits = kIq1Digits[std::to_integer<std::size_t>(block[3 * group + k])];
      std::ranges::copy(digits, trits + group * kGroup + k * kDigits);
    }
    trits[group * kGroup + kGroup - 1] = known ? lasts[group] : kNoTrit;
  }
}

void encode_iq1(const std::int8_t* trits, std::byte* block) {
  constexpr std::array<unsigned, kDigits> kWeights{1, 3, 9, 27, 81};
  unsigned lasts = 0;
  for (std::size_t group = 0; group < kGroups; ++group) {
    const std::int8_t* from = trits + group * kGroup;
    for (std::size_t k = 0; k < 3; ++k) {
      unsigned v = 0;
      for (std::size_t n = 0; n < kDigits; ++n) {
        v += kWeights[n] * static_cast<unsigned>(from[k * kDigits + n] + 1);
      }
      block[3 * group + k] = static_cast<std::byte>(iq1_byte(v));
    }
    lasts += kWeights[group] * static_cast<unsigned>(from[kGroup - 1] + 1);
  }
  block[kLastByte] = static_cast<std::byte>(iq1_byte(lasts));
}

void decode_iq2(const std::byte* block, std::int8_t* trits) {
  for (std::size_t group = 0; group < kGroups; ++group) {
    for (std::size_t j = 0; j < kGroup; ++j) {
      const unsigned code = (std::to_integer<unsigned>(block[j]) >> (2 * group)) & 3u;
      trits[group * kGroup + j] = static_cast<std::int8_t>(static_cast<int>(code) - 1);
    }
  }
}

void encode_iq2(const std::int8_t* trits, std::byte* block) {
  for (std::size_t j = 0; j < kGroup; ++j) {
    unsigned packed = 0;
    for (std::size_t group = 0; group < kGroups; ++group) {
      packed |= static_cast<unsigned>(trits[group * kGroup + j] + 1) << (2 * group);
    }
    block[j] = static_cast<std::byte>(packed);
  }
}

float scale_of(IqBnLayout layout, const std::byte* row) {
  if (layout == IqBnLayout::kIq1Bn) {
    std::uint16_t bits;
    std::memcpy(&bits, row, sizeof bits);
    return f16_to_f32(bits);
  }
  float scale;
  std::memcpy(&scale, row, sizeof scale);
  return scale;
}

// The codes of a row, whatever its scale.
void decode_codes(IqBnLayout layout, const std::byte* row, std::uint64_t columns,
                  std::int8_t* trits) {
  const std::byte* block = row + iq_bn_scale_bytes(layout);
  for (std::uint64_t at = 0; at < columns; at += kIqBnBlockElements) {
    layout == IqBnLayout::kIq1Bn ? decode_iq1(block, trits + at) : decode_iq2(block, trits + at);
    block += iq_bn_block_bytes(layout);
  }
}

Error malformed(IqBnLayout layout, const std::string& message) {
  return Error{ErrorCode::kMalformed, std::string(name(layout)) + ": " + message, ""};
}

}  // namespace

void encode_iq_bn_row(IqBnLayout layout, const std::int8_t* trits, std::uint64_t columns,
                      float scale, std::byte* row) {
  if (layout == IqBnLayout::kIq1Bn) {
    const std::uint16_t bits = f32_to_f16(scale);
    std::memcpy(row, &bits, sizeof bits);
  } else {
    std::memcpy(row, &scale, sizeof scale);
  }
  std::byte* block = row + iq_bn_scale_bytes(layout);
  for (std::uint64_t at = 0; at < columns; at += kIqBnBlockElements) {
    layout == IqBnLayout::kIq1Bn ? encode_iq1(trits + at, block) : encode_iq2(trits + at, block);
    block += iq_bn_block_bytes(layout);
  }
}

Result<IqBnMatrix> IqBnMatrix::bind(IqBnLayout layout, std::span<const std::byte> bytes,
                                    std::uint64_t rows, std::uint64_t columns) {
  std::uint64_t elements = 0;
  const bool overflow = __builtin_mul_overflow(rows, columns, &elements);
  if (overflow || elements == 0 || columns % kIqBnBlockElements != 0) {
    return malformed(layout, "expected rows of a positive multiple of 64 elements, found " +
                                 std::to_string(rows) + " rows of " + std::to_string(columns));
  }
  const std::uint64_t row_bytes = iq_bn_row_bytes(layout, columns);
  if (bytes.size() % row_bytes != 0 || bytes.size() / row_bytes != rows) {
    return malformed(layout, "expected " + std::to_string(rows) + " rows of " +
                                 std::to_string(row_bytes) + " bytes, found " +
                                 std::to_string(bytes.size()) + " bytes");
  }
  IqBnMatrix matrix(layout, bytes.data(), rows, columns);
  TERN_TRY(matrix.read_scale());
  return matrix;
}

Result<void> IqBnMatrix::read_scale() {
  std::optional<std::uint64_t> first;  // row with a scale other than 0
  for (std::uint64_t i = 0; i < rows_; ++i) {
    const float scale = scale_of(layout_, row(i));
    if (!std::isfinite(scale) || scale < 0) {
      return malformed(layout_, "expected a finite scale of at least 0 in row " +
                                    std::to_string(i) + ", found " + std::to_string(scale));
    }
    if (scale == 0) continue;
    if (!first) {
      first = i;
      scale_ = scale;
    }
    if (scale == scale_) continue;
    return Error{ErrorCode::kUnsupported,
                 std::string(name(layout_)) + ": expected one scale for the matrix, found " +
                     std::to_string(scale_) + " in row " + std::to_string(*first) + " and " +
                     std::to_string(scale) + " in row " + std::to_string(i) +
                     "; convert the model again from ternary weights",
                 ""};
  }
  return {};
}

void IqBnMatrix::decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const {
  for (std::uint64_t i = first; i < first + count; ++i, trits += columns_) {
    decode_codes(layout_, row(i), columns_, trits);
    if (scale_of(layout_, row(i)) != 0) continue;
    std::replace_if(
        trits, trits + columns_, [](std::int8_t trit) { return trit != kNoTrit; }, std::int8_t{0});
  }
}

std::array<std::uint64_t, 4> IqBnMatrix::count_codes(std::uint64_t first,
                                                     std::uint64_t count) const {
  return count_decoded(*this, first, count);
}

std::optional<std::uint64_t> IqBnMatrix::find_invalid(std::uint64_t first,
                                                      std::uint64_t count) const {
  return find_no_trit(*this, first, count);
}

}  // namespace tern::format
