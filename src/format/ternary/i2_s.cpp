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

// Sixteen bytes at a time, which every CPU has.
using Bytes = std::uint8_t __attribute__((vector_size(16)));

Bytes bytes_at(const std::byte* codes) {
  Bytes bytes;
  std::memcpy(&bytes, codes, sizeof bytes);
  return bytes;
}

void decode_block(const std::byte* block, std::int8_t* trits) {
  for (std::uint64_t b = 0; b < kGroupElements; b += sizeof(Bytes)) {
    const Bytes packed = bytes_at(block + b);
    for (unsigned g = 0; g < kGroups; ++g) {
      const Bytes out = ((packed >> group_shift(g)) & 3) - 1;
      std::memcpy(trits + g * kGroupElements + b, &out, sizeof out);
    }
  }
}

bool has_code_3(const std::byte* blocks, std::uint64_t count) {
  Bytes found{};
  for (std::uint64_t b = 0; b < count * kI2sBlockBytes; b += sizeof(Bytes)) {
    const Bytes packed = bytes_at(blocks + b);
    found |= packed & (packed >> 1) & 0x55;
  }
  return std::bit_cast<std::array<std::uint64_t, 2>>(found) != std::array<std::uint64_t, 2>{};
}

// Visits the elements [begin, end): whole blocks by on_blocks(first element, how many), the ragged
// ends by on_element(element), until a visitor returns false.
template <typename OnBlocks, typename OnElement>
void visit(std::uint64_t begin, std::uint64_t end, OnBlocks on_blocks, OnElement on_element) {
  std::uint64_t element = begin;
  while (element < end) {
    const std::uint64_t blocks =
        element % kI2sBlockElements == 0 ? (end - element) / kI2sBlockElements : 0;
    if (!(blocks > 0 ? on_blocks(element, blocks) : on_element(element))) return;
    element += blocks > 0 ? blocks * kI2sBlockElements : 1;
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
      [&](std::uint64_t element, std::uint64_t blocks) {
        const std::byte* const codes = codes_ + element / kI2sBlockElements * kI2sBlockBytes;
        for (std::uint64_t i = 0; i < blocks; ++i) {
          decode_block(codes + i * kI2sBlockBytes,
                       trits + (element - begin) + i * kI2sBlockElements);
        }
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
      [&](std::uint64_t element, std::uint64_t blocks) {
        const std::byte* const codes = codes_ + element / kI2sBlockElements * kI2sBlockBytes;
        for (std::uint64_t b = 0; b < blocks * kI2sBlockBytes; b += sizeof(std::uint64_t)) {
          std::uint64_t word;
          std::memcpy(&word, codes + b, sizeof word);
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
      [&](std::uint64_t element, std::uint64_t blocks) {
        if (!has_code_3(codes_ + element / kI2sBlockElements * kI2sBlockBytes, blocks)) return true;
        while (look_at(element)) ++element;  // it is in these blocks
        return false;
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
