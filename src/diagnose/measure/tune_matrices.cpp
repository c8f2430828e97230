#include "diagnose/measure/tune_matrices.h"

#include <cstring>
#include <numeric>
#include <random>

#include "format/ternary/i2_s.h"
#include "format/ternary_matrix.h"
#include "kernels/packing.h"

namespace tern::diagnose {
namespace {

constexpr float kScale = 0.02f;

// At least so many that they are whole blocks of i2_s: other types have shapes that are none.
std::uint64_t rows_of_blocks(const backend::MatrixShape& shape) {
  const std::uint64_t some =
      format::kI2sBlockElements / std::gcd(format::kI2sBlockElements, shape.columns);
  return (shape.rows + some - 1) / some * some;
}

// The bytes of an i2_s matrix of random trits: sums of two random bits, so no code is 3.
std::vector<std::byte> random_matrix(std::uint64_t rows, std::uint64_t columns) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(rows * columns / 4);
  for (std::byte& byte : bytes) {
    const auto bits = static_cast<unsigned>(random());
    byte = static_cast<std::byte>((bits & 0x55u) + ((bits >> 8) & 0x55u));
  }
  format::end_trits(format::TensorType::kI2_S, kScale, bytes);
  return bytes;
}

}  // namespace

std::string text_of(const backend::MatrixShape& shape) {
  return std::to_string(shape.rows) + " x " + std::to_string(shape.columns);
}

Activations::Activations(std::uint64_t columns, std::size_t rows)
    : stride_(kernels::padded_columns(columns)),
      values_(rows * stride_),
      scales_(rows, kScale),
      sums_(rows) {
  std::mt19937 random(2);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::uint64_t c = 0; c < columns; ++c) {
      const auto value = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
      values_[row * stride_ + c] = value;
      sums_[row] += value;
    }
  }
}

Result<MatrixSet> MatrixSet::make(const backend::MatrixShape& shape, kernels::Packing packing,
                                  std::uint64_t count, ThreadPool& pool) {
  const std::uint64_t rows = rows_of_blocks(shape);
  const std::vector<std::byte> trits = random_matrix(rows, shape.columns);
  format::Tensor tensor;
  tensor.name = "tuning";
  tensor.type = format::TensorType::kI2_S;
  tensor.shape = {shape.columns, rows, 1, 1};
  tensor.rank = 2;
  tensor.data = trits;
  MatrixSet set;
  TERN_ASSIGN(set.first_, backend::make_ternary_weight(tensor, packing, set.memory_, pool));
  const std::uint64_t bytes = set.first_.packed_bytes();
  const std::uint64_t group = set.first_.tiles.tiles * kernels::kTileBytes;
  for (std::uint64_t i = 0; i < count; ++i) {
    TERN_ASSIGN(const std::span<std::byte> copy,
                set.memory_.allocate(bytes, "matrices to tune with"));
    set.copies_.push_back(copy);
  }
  pool.run([&](ThreadPool::Worker& worker) {
    const Slice groups = slice_of(bytes / group, 1, worker.index(), worker.count());
    const std::uint64_t first = groups.begin * group;
    for (const std::span<std::byte> copy : set.copies_) {
      std::memcpy(copy.data() + first, set.first_.tiles.codes + first, groups.end * group - first);
    }
  });
  return set;
}

kernels::TernaryTiles MatrixSet::rows_from(std::uint64_t copy, std::uint64_t row,
                                           const kernels::ReadPattern& read) const {
  kernels::TernaryTiles tiles = first_.from(row, 1);
  tiles.codes = reinterpret_cast<const std::uint8_t*>(copies_[copy].data()) +
                row / kernels::kTileRows * tiles.tiles * kernels::kTileBytes;
  tiles.read = read;
  return tiles;
}

}  // namespace tern::diagnose
