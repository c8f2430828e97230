#include "backend/cpu/head_copy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cpu/tuning.h"
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

// A factor of a bound, larger by what the steps of the bound can round off, and such that no
// product with it underflows.
float factor_above(double factor) {
  constexpr double kMargin = 1.0 + 16.0 * kUnit;
  constexpr double kLeast = std::numeric_limits<float>::min();
  return f32_above(std::max(factor * kMargin, kLeast));
}

struct RowBound {
  float scale;
  float residual;
  float norm;

  bool operator==(const RowBound&) const = default;
};

// Rounds rows of a matrix into their tiles, and says how far they are off.
class RowRounder {
 public:
  // `weights` has room for a row.
  RowRounder(const kernels::KernelTable& table, const format::Tensor& tensor, float* weights)
      : table_(table),
        tensor_(tensor),
        row_bytes_(format::row_bytes(tensor.type, tensor.columns())),
        weights_(weights) {}

  // `codes` is the row's place in the first of its tiles.
  RowBound round(std::uint64_t row, std::uint8_t* codes) const {
    load(row);
    const std::size_t n = tensor_.columns();
    float largest = 0.0f;
    const double norm = norm_above(table_.row_squares(weights_, n, &largest));
    const bool bounded = norm < kMostNorm;  // a NaN is not
    if (!bounded || largest < kLeastMaximum) {
      std::fill_n(weights_, n, 0.0f);
      table_.round_row(weights_, n, 0.0f, 0.0f, codes);
      const float all = bounded ? f32_above(norm) : kInfinity;
      return {0.0f, all, all};
    }
    const float scale = largest / kCodeRange;
    const double off = table_.round_row(weights_, n, kCodeRange / largest, scale, codes);
    return {scale, f32_above(norm_above(off)), f32_above(norm)};
  }

 private:
  void load(std::uint64_t row) const {
    const std::byte* const bytes = tensor_.data.data() + row * row_bytes_;
    if (tensor_.type == format::TensorType::kF16) {
      table_.widen_f16(reinterpret_cast<const std::uint16_t*>(bytes), tensor_.columns(), weights_);
    } else {
      format::dequantize_row(tensor_.type, bytes, tensor_.columns(), weights_);
    }
  }

  const kernels::KernelTable& table_;
  const format::Tensor& tensor_;
  std::uint64_t row_bytes_;
  float* weights_;
};

}  // namespace

kernels::ScanTiles HeadCopy::from(std::uint64_t first) const {
  kernels::ScanTiles rows = tiles;
  rows.codes += first / kTileRows * tiles.tiles * kScanTileBytes;
  rows.scales += first;
  return rows;
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
Result<void> compare_rows(const kernels::KernelTable& table, const format::Tensor& tensor,
                          const Layout& layout, const HeadCopy& copy) {
  const std::uint64_t group_bytes = layout.tiles * kScanTileBytes;
  const std::size_t weight_bytes = round_up(tensor.columns() * sizeof(float), kScanTileBytes);
  TERN_ASSIGN(AlignedBuffer memory,
              AlignedBuffer::allocate(weight_bytes + group_bytes, "rows of the head"));
  const RowRounder rounder(table, tensor, memory.as<float>());
  auto* const codes = memory.as<std::uint8_t>(weight_bytes);
  const std::uint64_t count = std::min(kComparedRows, tensor.rows());
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t row = compared_row(i, count, tensor.rows());
    const RowBound bound = rounder.round(row, codes);
    const RowBound found{copy.tiles.scales[row], copy.residuals[row], copy.norms[row]};
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
Result<void> fill_copy(const kernels::KernelTable& table, const format::Tensor& tensor,
                       const Layout& layout, std::byte* to, ThreadPool& pool) {
  const std::size_t columns = round_up(tensor.columns(), kTileRows);  // of a worker's own lines
  TERN_ASSIGN(AlignedBuffer rows,
              AlignedBuffer::allocate(pool.size() * columns * sizeof(float), "rows of the head"));
  const std::uint64_t group_bytes = layout.tiles * kScanTileBytes;
  std::memset(to + layout.codes - group_bytes, 0, group_bytes + 3 * layout.vector);
  auto* const codes = reinterpret_cast<std::uint8_t*>(to);
  auto* const scales = reinterpret_cast<float*>(to + layout.codes);
  auto* const residuals = scales + layout.rows;
  auto* const norms = residuals + layout.rows;
  pool.run([&](ThreadPool::Worker& worker) {
    const Slice slice = slice_of(tensor.rows(), kTileRows, worker.index(), worker.count());
    const RowRounder rounder(table, tensor, rows.as<float>() + worker.index() * columns);
    for (std::uint64_t row = slice.begin; row < slice.end; ++row) {
      std::uint8_t* const to_tiles =
          codes + row / kTileRows * group_bytes + row % kTileRows * kScanColumns;
      const RowBound bound = rounder.round(row, to_tiles);
      scales[row] = bound.scale;
      residuals[row] = bound.residual;
      norms[row] = bound.norm;
    }
  });
  return {};
}

}  // namespace

std::string head_copy_blob(const format::Tensor& tensor) { return tensor.name + " int8-1"; }

Result<HeadCopy> make_head_copy(const kernels::KernelTable& table, const format::Tensor& tensor,
                                Arena& arena, ThreadPool& pool, PackedCache* cache) {
  const Layout layout(tensor);
  TERN_ASSIGN(
      const PackedBlob blob,
      packed_blob(cache, head_copy_blob(tensor), layout.bytes(), arena, pool,
                  [&](std::byte* to) { return fill_copy(table, tensor, layout, to, pool); }));
  const auto* const scales = reinterpret_cast<const float*>(blob.bytes + layout.codes);
  const HeadCopy copy{{reinterpret_cast<const std::uint8_t*>(blob.bytes), layout.tiles, scales,
                       default_plan(table).read.second_cache},
                      scales + layout.rows,
                      scales + 2 * layout.rows,
                      layout.bytes()};
  if (blob.cached) TERN_TRY(compare_rows(table, tensor, layout, copy));
  return copy;
}

ScanQuery make_scan_query(const float* x, std::size_t n, std::int8_t* digits, std::size_t stride) {
  for (std::size_t tile = 0; tile < ceil_div(n, kScanColumns); ++tile) {
    std::memset(digits + tile * stride, 0, kernels::kDigitBytes);
  }
  ScanQuery query{{0.0f, 0, 0}, {}, {}, false};
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
  const double low = scale * norm_above(low_squares);
  const double roundings = 8.0 * kUnit * (scale * 256.0 * norm_above(high_squares) + low);
  const double steps = static_cast<double>(ceil_div(n, 64)) + 6.0;
  const double gamma = steps * kUnit / (1.0 - steps * kUnit);
  query.both = {factor_above(x_hat + roundings),
                factor_above(norm_above(off) + gamma * norm + roundings), 0x1p-108f};
  const double dropped = low + roundings;
  query.high = {factor_above(query.both.of_residual + dropped),
                factor_above(query.both.of_norm + dropped), 0x1p-107f};
  return query;
}

}  // namespace tern::backend
