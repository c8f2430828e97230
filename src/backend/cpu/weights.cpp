#include "backend/cpu/weights.h"

#include <algorithm>
#include <cstring>

#include "format/float_blocks.h"
#include "format/ternary_matrix.h"

namespace tern::backend {
namespace {

using kernels::kTileBytes;
using kernels::kTileColumns;
using kernels::kTileRows;

// |acc| <= 127 * columns stays exact in f32 below this.
constexpr std::uint64_t kMaxColumns = (1u << 24) / 127;

Error unsupported(const format::Tensor& tensor, std::string message) {
  return Error{ErrorCode::kUnsupported, std::move(message), tensor.name};
}

constexpr std::uint64_t ceil_div(std::uint64_t n, std::uint64_t by) { return (n + by - 1) / by; }

std::uint64_t packed_bytes(std::uint64_t rows, std::uint64_t columns) {
  return ceil_div(rows, kTileRows) * ceil_div(columns, kTileColumns) * kTileBytes;
}

// Four trits as four codes, side by side in a word.
std::uint32_t codes_of(const std::int8_t* trits) {
  std::uint32_t word;
  std::memcpy(&word, trits, sizeof word);
  return ((word & 0x7f7f7f7fu) + 0x01010101u) ^ (word & 0x80808080u);  // no carry between bytes
}

// One group of rows: `trits` has kTileRows rows of tiles * kTileColumns trits.
void pack_group(const std::int8_t* trits, std::size_t tiles, std::byte* packed) {
  const std::size_t stride = tiles * kTileColumns;
  for (std::size_t r = 0; r < kTileRows; ++r) {
    for (std::size_t tile = 0; tile < tiles; ++tile) {
      const std::int8_t* from = trits + r * stride + tile * kTileColumns;
      const std::uint32_t word = codes_of(from) | codes_of(from + 4) << 2 |
                                 codes_of(from + 8) << 4 | codes_of(from + 12) << 6;
      std::memcpy(packed + tile * kTileBytes + r * sizeof word, &word, sizeof word);
    }
  }
}

// Every worker packs groups of rows of its own. Trits beyond the matrix are zeros. Errors:
// kOutOfMemory for the trits of a group a worker.
Result<void> pack(const format::TernaryMatrix& matrix, std::size_t tiles, std::byte* packed,
                  ThreadPool& pool) {
  const std::size_t stride = tiles * kTileColumns;
  const std::size_t group = kTileRows * stride;
  TERN_ASSIGN(AlignedBuffer decoded,
              AlignedBuffer::allocate(pool.size() * group, "trits of ternary weights"));
  pool.run([&](ThreadPool::Worker& worker) {
    const Slice slice = slice_of(matrix.rows(), kTileRows, worker.index(), worker.count());
    auto* const trits = decoded.as<std::int8_t>(worker.index() * group);
    for (std::uint64_t row = slice.begin; row < slice.end; row += kTileRows) {
      const std::uint64_t count = std::min<std::uint64_t>(kTileRows, slice.end - row);
      for (std::uint64_t r = 0; r < count; ++r) {
        matrix.decode_rows(row + r, 1, trits + r * stride);
      }
      std::fill(trits + count * stride, trits + group, std::int8_t{0});
      pack_group(trits, tiles, packed + row / kTileRows * tiles * kTileBytes);
    }
  });
  return {};
}

}  // namespace

kernels::TernaryTiles TernaryWeight::from(std::uint64_t first) const {
  kernels::TernaryTiles part = tiles;
  part.codes += first / kTileRows * tiles.tiles * kTileBytes;
  return part;
}

std::uint64_t allocated_bytes(const format::Tensor& tensor) {
  if (format::is_ternary(tensor.type)) {
    return packed_bytes(tensor.rows(), tensor.columns());
  }
  return tensor.rank == 1 ? tensor.elements() * sizeof(float) : 0;
}

Result<TernaryWeight> make_ternary_weight(const format::Tensor& tensor, ThreadPool& pool) {
  if (tensor.columns() > kMaxColumns) {
    return unsupported(tensor, "expected at most " + std::to_string(kMaxColumns) +
                                   " columns (sums stay exact), found " +
                                   std::to_string(tensor.columns()));
  }
  TERN_ASSIGN(const format::TernaryMatrix matrix, format::TernaryMatrix::bind(tensor));
  const std::size_t tiles = ceil_div(tensor.columns(), kTileColumns);
  TernaryWeight weight{{nullptr, tiles, matrix.scale()}, tensor.rows(), tensor.columns(), {}};
  TERN_ASSIGN(weight.packed, AlignedBuffer::allocate(packed_bytes(tensor.rows(), tensor.columns()),
                                                     "ternary weights"));
  TERN_TRY(pack(matrix, tiles, weight.packed.data(), pool));
  weight.tiles.codes = weight.packed.as<std::uint8_t>();
  return weight;
}

Result<MatrixWeight> make_matrix_weight(const format::Tensor& tensor) {
  if (format::is_ternary(tensor.type)) {
    return unsupported(tensor, "expected a float matrix, found " + std::string(name(tensor.type)));
  }
  return MatrixWeight{tensor};
}

Result<VectorWeight> make_vector_weight(const format::Tensor& tensor) {
  if (tensor.rank != 1 || format::is_ternary(tensor.type)) {
    return unsupported(tensor, "expected a float vector, found rank " +
                                   std::to_string(tensor.rank) + " of type " +
                                   std::string(name(tensor.type)));
  }
  VectorWeight weight{std::vector<float>(tensor.elements())};
  format::dequantize_row(tensor.type, tensor.data.data(), weight.values.size(),
                         weight.values.data());
  return weight;
}

}  // namespace tern::backend
