#include "format/ternary/i2_s.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

namespace tern::format {
namespace {

// A block holds four groups of 32 values; group g of byte b sits at bits 7-2g:6-2g.
constexpr unsigned kGroups = 4;
constexpr std::uint64_t kGroupElements = kI2sBlockElements / kGroups;

constexpr unsigned group_shift(unsigned group) { return 6 - 2 * group; }

unsigned code_at(const std::byte* codes, std::uint64_t element) {
  const std::uint64_t in_block = element % kI2sBlockElements;
  const std::byte packed =
      codes[element / kI2sBlockElements * kI2sBlockBytes + in_block % kGroupElements];
  const auto group = static_cast<unsigned>(in_block / kGroupElements);
  return (std::to_integer<unsigned>(packed) >> group_shift(group)) & 3u;
}

// The block's four words of 64 bits, 32 codes each.
std::array<std::uint64_t, 4> words_of(const std::byte* block) {
  std::array<std::uint64_t, 4> words;
  static_assert(sizeof words == kI2sBlockBytes);
  std::memcpy(words.data(), block, sizeof words);
  return words;
}

// Eight codes less one at a time, in bytes that do not borrow from each other.
void decode_block(const std::byte* block, std::int8_t* trits) {
  constexpr std::uint64_t kEach = 0x0101010101010101u;
  const auto words = words_of(block);
  std::array<std::uint64_t, 4 * kGroups> out;
  for (unsigned g = 0; g < kGroups; ++g) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::uint64_t codes = (words[i] >> group_shift(g)) & (3 * kEach);
      out[g * words.size() + i] = ((codes | (0x80 * kEach)) - kEach) ^ (0x80 * kEach);
    }
  }
  std::memcpy(trits, out.data(), sizeof out);
}

// Visits the elements [begin, end): whole blocks by on_block(first element of the block), the
// ragged ends by on_element(element). Stops early when a visitor returns false.
template <typename OnBlock, typename OnElement>
void visit(std::uint64_t begin, std::uint64_t end, OnBlock on_block, OnElement on_element) {
  std::uint64_t element = begin;
  while (element < end) {
    const bool whole = element % kI2sBlockElements == 0 && end - element >= kI2sBlockElements;
    if (!(whole ? on_block(element) : on_element(element))) return;
    element += whole ? kI2sBlockElements : 1;
  }
}

constexpr std::uint64_t kLowBits = 0x5555555555555555u;

bool plausible_scale(float scale) { return std::isfinite(scale) && scale >= 0; }

}  // namespace

Result<I2sMatrix> I2sMatrix::bind(std::span<const std::byte> bytes, std::uint64_t rows,
                                  std::uint64_t columns) {
  std::uint64_t elements = 0;
  const bool overflow = __builtin_mul_overflow(rows, columns, &elements);
  if (overflow || elements == 0 || elements % kI2sBlockElements != 0) {
    return Error{ErrorCode::kMalformed,
                 "i2_s: expected a positive multiple of 128 elements, found " +
                     std::to_string(rows) + " rows of " + std::to_string(columns),
                 ""};
  }
  if (bytes.size() != i2_s_bytes(elements)) {
    return Error{ErrorCode::kMalformed,
                 "i2_s: expected " + std::to_string(i2_s_bytes(elements)) + " bytes for " +
                     std::to_string(elements) + " elements, found " + std::to_string(bytes.size()),
                 ""};
  }
  float scale = 0;
  std::memcpy(&scale, bytes.data() + bytes.size() - kI2sTailBytes, sizeof scale);
  if (!plausible_scale(scale)) {
    return Error{ErrorCode::kMalformed,
                 "i2_s: expected a finite scale of at least 0 behind the codes, found " +
                     std::to_string(scale),
                 ""};
  }
  return I2sMatrix(bytes.data(), rows, columns, scale);
}

void I2sMatrix::decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const {
  const std::uint64_t begin = first * columns_;
  visit(
      begin, begin + count * columns_,
      [&](std::uint64_t element) {
        decode_block(codes_ + element / kI2sBlockElements * kI2sBlockBytes,
                     trits + (element - begin));
        return true;
      },
      [&](std::uint64_t element) {
        trits[element - begin] =
            static_cast<std::int8_t>(static_cast<int>(code_at(codes_, element)) - 1);
        return true;
      });
}

std::array<std::uint64_t, 4> I2sMatrix::count_codes(std::uint64_t first,
                                                    std::uint64_t count) const {
  std::array<std::uint64_t, 4> counts{};
  visit(
      first * columns_, (first + count) * columns_,
      [&](std::uint64_t element) {
        for (const std::uint64_t word :
             words_of(codes_ + element / kI2sBlockElements * kI2sBlockBytes)) {
          const std::uint64_t low = word & kLowBits;
          const std::uint64_t high = (word >> 1) & kLowBits;
          const auto ones = static_cast<std::uint64_t>(std::popcount(low & ~high));
          const auto twos = static_cast<std::uint64_t>(std::popcount(high & ~low));
          const auto threes = static_cast<std::uint64_t>(std::popcount(low & high));
          counts[0] += 32 - ones - twos - threes;
          counts[1] += ones;
          counts[2] += twos;
          counts[3] += threes;
        }
        return true;
      },
      [&](std::uint64_t element) {
        ++counts[code_at(codes_, element)];
        return true;
      });
  return counts;
}

std::optional<std::uint64_t> I2sMatrix::find_invalid(std::uint64_t first,
                                                     std::uint64_t count) const {
  std::optional<std::uint64_t> found;
  const auto look_at = [&](std::uint64_t element) {
    if (code_at(codes_, element) == 3) found = element;
    return !found;
  };
  visit(
      first * columns_, (first + count) * columns_,
      [&](std::uint64_t element) {
        const auto words = words_of(codes_ + element / kI2sBlockElements * kI2sBlockBytes);
        const bool suspect = std::ranges::any_of(
            words, [](std::uint64_t word) { return (word & (word >> 1) & kLowBits) != 0; });
        while (suspect && look_at(element)) ++element;  // it is in this block
        return !suspect;
      },
      look_at);
  return found;
}

void encode_i2_s_blocks(const std::int8_t* trits, std::uint64_t blocks, std::byte* codes) {
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::int8_t* from = trits + i * kI2sBlockElements;
    std::byte* to = codes + i * kI2sBlockBytes;
    for (std::uint64_t b = 0; b < kI2sBlockBytes; ++b) {
      unsigned packed = 0;
      for (unsigned g = 0; g < kGroups; ++g) {
        packed |= static_cast<unsigned>(from[g * kGroupElements + b] + 1) << group_shift(g);
      }
      to[b] = static_cast<std::byte>(packed);
    }
  }
}

std::array<std::byte, kI2sTailBytes> i2_s_tail(float scale) {
  std::array<std::byte, kI2sTailBytes> tail{};
  std::memcpy(tail.data(), &scale, sizeof scale);
  return tail;
}

Result<std::vector<std::byte>> encode_i2_s(std::span<const std::int8_t> trits, float scale) {
  if (trits.empty() || trits.size() % kI2sBlockElements != 0) {
    return Error{
        ErrorCode::kUsage,
        "i2_s: expected a positive multiple of 128 trits, found " + std::to_string(trits.size()),
        ""};
  }
  if (!plausible_scale(scale)) {
    return Error{ErrorCode::kUsage,
                 "i2_s: expected a finite scale of at least 0, found " + std::to_string(scale), ""};
  }
  const auto wrong =
      std::ranges::find_if(trits, [](std::int8_t trit) { return trit < -1 || trit > 1; });
  if (wrong != trits.end()) {
    return Error{ErrorCode::kUsage,
                 "i2_s: expected a trit of -1, 0 or 1, found " + std::to_string(*wrong) +
                     " at position " + std::to_string(wrong - trits.begin()),
                 ""};
  }
  std::vector<std::byte> bytes(i2_s_bytes(trits.size()));
  encode_i2_s_blocks(trits.data(), trits.size() / kI2sBlockElements, bytes.data());
  std::ranges::copy(i2_s_tail(scale), bytes.end() - kI2sTailBytes);
  return bytes;
}

}  // namespace tern::format
