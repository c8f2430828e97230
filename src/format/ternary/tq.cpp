#include "format/ternary/tq.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/float16.h"

namespace tern::format {
namespace {

constexpr std::string_view name(TqLayout layout) {
  return layout == TqLayout::kTQ1_0 ? "tq1_0" : "tq2_0";
}

// The parts of a TQ1_0 block: `bytes` bytes from `at` on, whose n-th digits are the values from
// `first` + n * bytes on.
struct Tq1Part {
  std::size_t at;
  std::size_t bytes;
  std::size_t first;
  std::size_t digits;
};
constexpr std::array<Tq1Part, 3> kTq1Parts{{{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}}};
constexpr std::size_t kDigits = 5;

constexpr std::uint8_t tq1_byte(unsigned v) {
  return static_cast<std::uint8_t>((v * 256 + 242) / 243);
}

// Whether a byte has a meaning: among five digits, and among four (v is a multiple of 3).
constexpr std::array<std::array<bool, 256>, 2> make_tq1_valid() {
  std::array<std::array<bool, 256>, 2> valid{};
  for (unsigned v = 0; v < 243; ++v) {
    valid[0][tq1_byte(v)] = true;
    valid[1][tq1_byte(v)] = v % 3 == 0;
  }
  return valid;
}
constexpr auto kTq1Valid = make_tq1_valid();

// A byte is a fixed-point fraction v/243: times 3^n modulo 1 it begins with digit n. The digit is
// how many thirds it reaches, of which compilers make vectors.
template <std::size_t kBytes>
void decode_digits(const std::byte* from, std::size_t digits, std::int8_t* trits) {
  std::array<std::uint8_t, kBytes> rest;
  std::memcpy(rest.data(), from, kBytes);
  for (std::size_t n = 0; n < digits; ++n) {
    for (std::size_t m = 0; m < kBytes; ++m) {
      const std::uint8_t one = rest[m] > 85 ? 1 : 0;
      const std::uint8_t two = rest[m] > 170 ? 1 : 0;
      trits[n * kBytes + m] = static_cast<std::int8_t>(static_cast<std::uint8_t>(one + two) - 1);
    }
    for (std::uint8_t& r : rest) r = static_cast<std::uint8_t>(r * 3);
  }
}

void decode_tq1(const std::byte* block, std::int8_t* trits) {
  const auto decode = [&]<std::size_t kPart>() {
    constexpr Tq1Part part = kTq1Parts[kPart];
    decode_digits<part.bytes>(block + part.at, part.digits, trits + part.first);
  };
  decode.operator()<0>();
  decode.operator()<1>();
  decode.operator()<2>();
}

void encode_tq1(const std::int8_t* trits, std::byte* block) {
  for (const Tq1Part& part : kTq1Parts) {
    for (std::size_t m = 0; m < part.bytes; ++m) {
      unsigned v = 0;
      for (std::size_t n = 0; n < kDigits; ++n) {
        v *= 3;
        if (n < part.digits) {
          v += static_cast<unsigned>(trits[part.first + n * part.bytes + m] + 1);
        }
      }
      block[part.at + m] = static_cast<std::byte>(tq1_byte(v));
    }
  }
}

std::optional<std::uint64_t> find_invalid_tq1(const std::byte* block) {
  for (const Tq1Part& part : kTq1Parts) {
    const auto& valid = kTq1Valid[part.digits == 5 ? 0 : 1];
    for (std::size_t m = 0; m < part.bytes; ++m) {
      if (!valid[std::to_integer<std::size_t>(block[part.at + m])]) return part.first + m;
    }
  }
  return std::nullopt;
}

constexpr std::size_t kTq2Group = 32;  // bytes, of 128 values

void decode_tq2(const std::byte* block, std::int8_t* trits) {
  for (std::size_t g = 0; g < 2; ++g) {
    for (std::size_t l = 0; l < 4; ++l) {
      for (std::size_t m = 0; m < kTq2Group; ++m) {
        const unsigned code = (std::to_integer<unsigned>(block[g * kTq2Group + m]) >> (2 * l)) & 3u;
        trits[128 * g + kTq2Group * l + m] = static_cast<std::int8_t>(static_cast<int>(code) - 1);
      }
    }
  }
}

void encode_tq2(const std::int8_t* trits, std::byte* block) {
  for (std::size_t g = 0; g < 2; ++g) {
    for (std::size_t m = 0; m < kTq2Group; ++m) {
      unsigned packed = 0;
      for (std::size_t l = 0; l < 4; ++l) {
        packed |= static_cast<unsigned>(trits[128 * g + kTq2Group * l + m] + 1) << (2 * l);
      }
      block[g * kTq2Group + m] = static_cast<std::byte>(packed);
    }
  }
}

std::optional<std::uint64_t> find_invalid_tq2(const std::byte* block) {
  bool suspect = false;
  for (std::size_t b = 0; b < 2 * kTq2Group; ++b) {
    suspect |= (block[b] & (block[b] >> 1) & std::byte{0x55}) != std::byte{0};
  }
  if (!suspect) return std::nullopt;
  std::array<std::int8_t, kTqBlockElements> trits;
  decode_tq2(block, trits.data());
  return static_cast<std::uint64_t>(std::ranges::find(trits, 2) - trits.begin());
}

Error malformed(TqLayout layout, const std::string& message) {
  return Error{ErrorCode::kMalformed, std::string(name(layout)) + ": " + message, ""};
}

}  // namespace

std::uint16_t tq_block_scale(TqLayout layout, const std::byte* block) {
  std::uint16_t bits;
  std::memcpy(&bits, block + tq_block_bytes(layout) - sizeof bits, sizeof bits);
  return bits;
}

void decode_tq_block(TqLayout layout, const std::byte* block, std::int8_t* trits) {
  layout == TqLayout::kTQ1_0 ? decode_tq1(block, trits) : decode_tq2(block, trits);
}

void encode_tq_blocks(TqLayout layout, const std::int8_t* trits, std::uint64_t blocks,
                      std::uint16_t scale, std::byte* out) {
  for (std::uint64_t i = 0; i < blocks; ++i) {
    std::byte* block = out + i * tq_block_bytes(layout);
    const std::int8_t* from = trits + i * kTqBlockElements;
    layout == TqLayout::kTQ1_0 ? encode_tq1(from, block) : encode_tq2(from, block);
    std::memcpy(block + tq_block_bytes(layout) - sizeof scale, &scale, sizeof scale);
  }
}

Result<TqMatrix> TqMatrix::bind(TqLayout layout, std::span<const std::byte> bytes,
                                std::uint64_t rows, std::uint64_t columns) {
  std::uint64_t elements = 0;
  const bool overflow = __builtin_mul_overflow(rows, columns, &elements);
  if (overflow || elements == 0 || columns % kTqBlockElements != 0) {
    return malformed(layout, "expected rows of a positive multiple of 256 elements, found " +
                                 std::to_string(rows) + " rows of " + std::to_string(columns));
  }
  const std::uint64_t blocks = elements / kTqBlockElements;
  if (bytes.size() % tq_block_bytes(layout) != 0 ||
      bytes.size() / tq_block_bytes(layout) != blocks) {
    return malformed(layout, "expected " + std::to_string(blocks) + " blocks of " +
                                 std::to_string(tq_block_bytes(layout)) + " bytes, found " +
                                 std::to_string(bytes.size()) + " bytes");
  }
  TqMatrix matrix(layout, bytes.data(), rows, columns);
  TERN_TRY(matrix.read_scale());
  return matrix;
}

Result<void> TqMatrix::read_scale() {
  std::optional<std::uint64_t> first;  // block with a scale other than 0
  std::array<std::int8_t, kTqBlockElements> trits;
  for (std::uint64_t i = 0; i < blocks_in(rows_); ++i) {
    const float scale = f16_to_f32(tq_block_scale(layout_, block(i)));
    if (!std::isfinite(scale) || scale < 0) {
      return malformed(layout_, "expected a finite scale of at least 0 in block " +
                                    std::to_string(i) + ", found " + std::to_string(scale));
    }
    if (scale == 0) {
      decode_tq_block(layout_, block(i), trits.data());
      if (std::ranges::all_of(trits, [](std::int8_t trit) { return trit == 0; })) continue;
    }
    if (!first) {
      first = i;
      scale_ = scale;
    }
    if (scale == scale_) continue;
    return Error{ErrorCode::kUnsupported,
                 std::string(name(layout_)) + ": expected one scale for the matrix, found " +
                     std::to_string(scale_) + " in block " + std::to_string(*first) + " and " +
                     std::to_string(scale) + " in block " + std::to_string(i) +
                     "; convert the model again from ternary weights",
                 ""};
  }
  return {};
}

void TqMatrix::decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const {
  const std::uint64_t begin = blocks_in(first);
  for (std::uint64_t i = 0; i < blocks_in(count); ++i) {
    decode_tq_block(layout_, block(begin + i), trits + i * kTqBlockElements);
  }
}

std::array<std::uint64_t, 4> TqMatrix::count_codes(std::uint64_t first, std::uint64_t count) const {
  std::array<std::uint64_t, 4> counts{};
  std::array<std::int8_t, kTqBlockElements> trits;
  const std::uint64_t begin = blocks_in(first);
  for (std::uint64_t i = 0; i < blocks_in(count); ++i) {
    decode_tq_block(layout_, block(begin + i), trits.data());
    for (const std::int8_t trit : trits) ++counts[static_cast<std::size_t>(trit + 1)];
  }
  return counts;
}

std::optional<std::uint64_t> TqMatrix::find_invalid(std::uint64_t first,
                                                    std::uint64_t count) const {
  const std::uint64_t begin = blocks_in(first);
  for (std::uint64_t i = begin; i < begin + blocks_in(count); ++i) {
    const auto at =
        layout_ == TqLayout::kTQ1_0 ? find_invalid_tq1(block(i)) : find_invalid_tq2(block(i));
    if (at) return i * kTqBlockElements + *at;
  }
  return std::nullopt;
}

}  // namespace tern::format
