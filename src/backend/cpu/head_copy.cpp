#include "backend/cpu/head_copy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/aligned_buffer.h"
#include "format/float_blocks.h"
#include "format/ternary_matrix.h"

namespace tern::backend {
namespace {

using kernels::kScanColumns;
using kernels::kScanTileBytes;
using kernels::kTileRows;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kUnit = 0x1p-24;  // of rounding in f32
// Sums of so many products of codes and digits fit into 32 bits.
constexpr std::uint64_t kMostColumns = 1u << 17;
constexpr int kCodeRange = 127;
constexpr int kZeroCode = 128;
constexpr double kDigitRange = 32639.0;  // 256*127 + 127
// Norms below it keep every step of a scan and of an exact logit finite.
constexpr double kMostNorm = 0x1p60;
// Below it the scale of a row would lose bits: the row is rounded to zeros.
constexpr float kLeastMaximum = 0x1p-100f;
// Covers what rounds in the f64 sums of squares here: 2^17 terms of 2^-53.
constexpr double kAbove = 1.0 + 0x1p-30;
// Rows of a copy from the cache that are made again and compared: some in a row, since the first
// can bring in a page of 2 MiB.
constexpr std::uint64_t kComparedRows = 64;
constexpr std::uint64_t kComparedTogether = 4;

constexpr std::uint64_t ceil_div(std::uint64_t n, std::uint64_t by) { return (n + by - 1) / by; }
constexpr std::uint64_t round_up(std::uint64_t n, std::uint64_t to) { return ceil_div(n, to) * to; }

struct Layout {
  explicit Layout(const format::Tensor& tensor)
      : tiles(ceil_div(tensor.columns(), kScanColumns)),
        rows(round_up(tensor.rows(), kTileRows)),
        codes(rows / kTileRows * tiles * kScanTileBytes),
        vector(rows * sizeof(float)) {}

  std::uint64_t tiles;
  std::uint64_t rows;    // padded
  std::uint64_t codes;   // bytes, then come three vectors:
  std::uint64_t vector;  // scales, residuals, norms
  std::uint64_t bytes() const { return codes + 3 * vector; }
};

// Square root of a sum of squares, not below the exact one.
double norm_above(double squares) { return std::sqrt(squares) * kAbove; }

// The least f32 that is not below `value`.
float f32_above(double value) {
  const auto rounded = static_cast<float>(value);
  return static_cast<double>(rounded) < value ? std::nextafter(rounded, kInfinity) : rounded;
}

// Half to even, for magnitudes below 2^22.
float nearest(float x) {
  constexpr float kShift = 0x1.8p23f;
  return (x + kShift) - kShift;
}

// The largest magnitude, where there is no NaN.
float largest_of(const float* x, std::size_t n) {
  std::array<float, 8> parts{};  // as in the sums below, so that compilers keep them in vectors
  std::size_t i = 0;
  for (; i + parts.size() <= n; i += parts.size()) {
    for (std::size_t j = 0; j < parts.size(); ++j) {
      const float magnitude = std::fabs(x[i + j]);
      parts[j] = parts[j] < magnitude ? magnitude : parts[j];
    }
  }
  for (; i < n; ++i) parts[0] = std::max(parts[0], std::fabs(x[i]));
  return *std::max_element(parts.begin(), parts.end());
}

// Sum of (x - scale*y)^2 in f64, in which each difference is formed with one rounding.
double squares_of(const float* x, const float* y, double scale, std::size_t n) {
  std::array<double, 8> parts{};
  std::size_t i = 0;
  for (; i + parts.size() <= n; i += parts.size()) {
    for (std::size_t j = 0; j < parts.size(); ++j) {
      const double off = static_cast<double>(x[i + j]) - scale * static_cast<double>(y[i + j]);
      parts[j] += off * off;
    }
  }
  for (; i < n; ++i) {
    const double off = static_cast<double>(x[i]) - scale * static_cast<double>(y[i]);
    parts[0] += off * off;
  }
  double sum = 0.0;
  for (const double part : parts) sum += part;
  return sum;
}

struct RowBound {
  float scale;
  float residual;
  float norm;

  bool operator==(const RowBound&) const = default;
};

// Rounds a row of weights and says how far it is off. `rounded` gets the codes less their offset.
RowBound round_row(const float* w, std::size_t n, float* rounded) {
  const double norm = norm_above(squares_of(w, w, 0.0, n));
  const float largest = largest_of(w, n);
  const bool bounded = norm < kMostNorm;  // a NaN is not
  if (!bounded || largest < kLeastMaximum) {
    std::fill(rounded, rounded + n, 0.0f);
    const float all = bounded ? f32_above(norm) : kInfinity;
    return {0.0f, all, all};
  }
  const float scale = largest / kCodeRange;
  const float to_code = kCodeRange / largest;
  for (std::size_t i = 0; i < n; ++i) rounded[i] = nearest(w[i] * to_code);
  return {scale, f32_above(norm_above(squares_of(w, rounded, scale, n))), f32_above(norm)};
}

// Into the row's place in its tiles, of which `to` is the first.
void store_codes(const float* rounded, std::size_t tiles, std::uint8_t* to) {
  for (std::size_t tile = 0; tile < tiles; ++tile) {
    for (std::size_t c = 0; c < kScanColumns; ++c) {
      const auto code = static_cast<int>(rounded[tile * kScanColumns + c]) + kZeroCode;
      to[tile * kScanTileBytes + c] = static_cast<std::uint8_t>(code);
    }
  }
}

}  // namespace

kernels::ScanTiles HeadCopy::from(std::uint64_t first) const {
  return {tiles.codes + first / kTileRows * tiles.tiles * kScanTileBytes, tiles.tiles,
          tiles.scales + first};
}

std::uint64_t head_copy_bytes(const format::Tensor& tensor) {
  if (format::is_ternary(tensor.type) || tensor.columns() > kMostColumns) return 0;
  return Layout(tensor).bytes();
}

namespace {

// The i-th of `count` rows of so many that are compared: in runs spread over all, the first and the
// last row among them.
std::uint64_t compared_row(std::uint64_t i, std::uint64_t count, std::uint64_t rows) {
  if (count < kComparedRows) return i;  // all of them
  const std::uint64_t run = i / kComparedTogether;
  constexpr std::uint64_t kLastRun = kComparedRows / kComparedTogether - 1;
  return (rows - kComparedTogether) * run / kLastRun + i % kComparedTogether;
}

// Makes such rows of the matrix again. Errors: kOutOfMemory; kProofFailed where the copy's row has
// other bytes.
Result<void> compare_rows(const format::Tensor& tensor, const Layout& layout,
                          const HeadCopy& copy) {
  const std::size_t columns = tensor.columns();
  const std::size_t padded = layout.tiles * kScanColumns;
  const std::uint64_t row_bytes = format::row_bytes(tensor.type, columns);
  const std::uint64_t group_bytes = layout.tiles * kScanTileBytes;
  TERN_ASSIGN(
      AlignedBuffer memory,
      AlignedBuffer::allocate(2 * padded * sizeof(float) + group_bytes, "rows of the head"));
  auto* const weights = memory.as<float>();
  auto* const rounded = weights + padded;
  auto* const codes = memory.as<std::uint8_t>(2 * padded * sizeof(float));
  const std::uint64_t count = std::min(kComparedRows, tensor.rows());
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t row = compared_row(i, count, tensor.rows());
    format::dequantize_row(tensor.type, tensor.data.data() + row * row_bytes, columns, weights);
    const RowBound bound = round_row(weights, columns, rounded);
    const RowBound found{copy.tiles.scales[row], copy.residuals[row], copy.norms[row]};
    store_codes(rounded, layout.tiles, codes);
    bool same = bound == found;
    const std::uint8_t* const of_copy =
        copy.tiles.codes + row / kTileRows * group_bytes + row % kTileRows * kScanColumns;
    for (std::size_t at = 0; at < group_bytes && same; at += kScanTileBytes) {
      same = std::memcmp(codes + at, of_copy + at, kScanColumns) == 0;
    }
    if (same) continue;
    return Error{ErrorCode::kProofFailed,
                 "row " + std::to_string(row) +
                     " of the int8 copy in the cache is not that of the matrix; `tern cache clear` "
                     "removes it",
                 tensor.name};
  }
  return {};
}

// All of `to`, rows and columns beyond the matrix included. Errors: kOutOfMemory.
Result<void> fill_copy(const format::Tensor& tensor, const Layout& layout, std::byte* to,
                       ThreadPool& pool) {
  const std::size_t columns = tensor.columns();
  const std::size_t padded = layout.tiles * kScanColumns;
  const std::uint64_t row_bytes = format::row_bytes(tensor.type, columns);
  TERN_ASSIGN(AlignedBuffer rows, AlignedBuffer::allocate(pool.size() * 2 * padded * sizeof(float),
                                                          "rows of the head"));
  const std::uint64_t group_bytes = layout.tiles * kScanTileBytes;
  std::memset(to + layout.codes - group_bytes, 0, group_bytes + 3 * layout.vector);
  auto* const codes = reinterpret_cast<std::uint8_t*>(to);
  auto* const scales = reinterpret_cast<float*>(to + layout.codes);
  auto* const residuals = scales + layout.rows;
  auto* const norms = residuals + layout.rows;
  pool.run([&](ThreadPool::Worker& worker) {
    const Slice slice = slice_of(tensor.rows(), kTileRows, worker.index(), worker.count());
    auto* const weights = rows.as<float>() + worker.index() * 2 * padded;
    auto* const rounded = weights + padded;  // zeros behind the last column
    for (std::uint64_t row = slice.begin; row < slice.end; ++row) {
      format::dequantize_row(tensor.type, tensor.data.data() + row * row_bytes, columns, weights);
      const RowBound bound = round_row(weights, columns, rounded);
      scales[row] = bound.scale;
      residuals[row] = bound.residual;
      norms[row] = bound.norm;
      store_codes(rounded, layout.tiles,
                  codes + row / kTileRows * group_bytes + row % kTileRows * kScanColumns);
    }
  });
  return {};
}

}  // namespace

Result<HeadCopy> make_head_copy(const format::Tensor& tensor, Arena& arena, ThreadPool& pool,
                                PackedCache* cache) {
  const Layout layout(tensor);
  // Another meaning of the bytes is a new version in the name: they do not depend on the tier.
  TERN_ASSIGN(const PackedBlob blob,
              packed_blob(cache, tensor.name + " int8-1", layout.bytes(), arena, pool,
                          [&](std::byte* to) { return fill_copy(tensor, layout, to, pool); }));
  const auto* const scales = reinterpret_cast<const float*>(blob.bytes + layout.codes);
  const HeadCopy copy{{reinterpret_cast<const std::uint8_t*>(blob.bytes), layout.tiles, scales},
                      scales + layout.rows,
                      scales + 2 * layout.rows,
                      layout.bytes()};
  if (blob.cached) TERN_TRY(compare_rows(tensor, layout, copy));
  return copy;
}

ScanQuery make_scan_query(const float* x, std::size_t n, std::int8_t* digits, std::size_t stride) {
  for (std::size_t tile = 0; tile < ceil_div(n, kScanColumns); ++tile) {
    std::memset(digits + tile * stride, 0, kernels::kDigitBytes);
  }
  ScanQuery query{{0.0f, 0, 0}, 0.0f, 0.0f, 0.0f, false};
  double largest = 0.0;
  double squares = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const double value = x[i];
    largest = std::max(largest, std::fabs(value));
    squares += value * value;
  }
  const double norm = norm_above(squares);
  query.bounded = norm < kMostNorm;  // a NaN is not
  if (!query.bounded) return query;
  query.digits.scale = static_cast<float>(largest / kDigitRange);
  const double scale = query.digits.scale;
  const double to_digits = largest > 0.0 ? kDigitRange / largest : 0.0;
  double off = 0.0, rounded = 0.0, high_squares = 0.0, low_squares = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const int q = static_cast<int>(std::lrint(x[i] * to_digits));
    const int h = (q + 128) >> 8;
    const int l = q - 256 * h;
    std::int8_t* const at = digits + i / kScanColumns * stride + i % kScanColumns;
    at[0] = static_cast<std::int8_t>(h);
    at[kScanColumns] = static_cast<std::int8_t>(l);
    query.digits.high_sum += h;
    query.digits.low_sum += l;
    const double distance = x[i] - scale * q;
    off += distance * distance;
    rounded += static_cast<double>(q) * q;
    high_squares += static_cast<double>(h) * h;
    low_squares += static_cast<double>(l) * l;
  }
  // The names of docs/numbers.md.
  const double x_hat = scale * norm_above(rounded);
  const double split = scale * (256.0 * norm_above(high_squares) + norm_above(low_squares));
  const double steps = static_cast<double>(ceil_div(n, 64)) + 6.0;
  const double gamma = steps * kUnit / (1.0 - steps * kUnit);
  constexpr double kMargin = 1.0 + 16.0 * kUnit;
  constexpr double kLeast = std::numeric_limits<float>::min();  // so that no factor underflows
  const double of_residual = x_hat + 8.0 * kUnit * split;
  const double of_norm = norm_above(off) + gamma * norm + 8.0 * kUnit * split;
  query.of_residual = f32_above(std::max(of_residual * kMargin, kLeast));
  query.of_norm = f32_above(std::max(of_norm * kMargin, kLeast));
  query.constant = 0x1p-108f;
  return query;
}

}  // namespace tern::backend
