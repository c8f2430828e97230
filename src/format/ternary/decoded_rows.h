// What ternary layouts that are looked at by decoding whole rows have in common.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace tern::format {

// What decode_rows() gives for a code that means nothing.
inline constexpr std::int8_t kNoTrit = 2;

// How often -1, 0, +1 and kNoTrit stand in `count` rows from `first`.
template <typename Matrix>
std::array<std::uint64_t, 4> count_decoded(const Matrix& matrix, std::uint64_t first,
                                           std::uint64_t count) {
  std::array<std::uint64_t, 4> counts{};
  std::vector<std::int8_t> trits(matrix.columns());
  for (std::uint64_t i = first; i < first + count; ++i) {
    matrix.decode_rows(i, 1, trits.data());
    for (const std::int8_t trit : trits) ++counts[static_cast<std::size_t>(trit + 1)];
  }
  return counts;
}

// The position (row*columns() + column) of the first kNoTrit in these rows.
template <typename Matrix>
std::optional<std::uint64_t> find_no_trit(const Matrix& matrix, std::uint64_t first,
                                          std::uint64_t count) {
  std::vector<std::int8_t> trits(matrix.columns());
  for (std::uint64_t i = first; i < first + count; ++i) {
    matrix.decode_rows(i, 1, trits.data());
    const auto found = std::ranges::find(trits, kNoTrit);
    if (found != trits.end()) {
      return i * matrix.columns() + static_cast<std::uint64_t>(found - trits.begin());
    }
  }
  return std::nullopt;
}

}  // namespace tern::format
