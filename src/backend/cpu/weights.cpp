#include "backend/cpu/weights.h"

#include <algorithm>
#include <cstring>

#include "core/aligned_buffer.h"
#include "format/float_blocks.h"
#include "format/ternary_matrix.h"
#include "kernels/packing.h"

namespace tern::backend {
namespace {

using kernels::kTileBytes;
using kernels::kTileRows;
using kernels::Packing;

// |acc| <= 127 * columns stays exact in f32 below this.
constexpr std::uint64_t kMaxColumns = (1u << 24) / 127;

Error unsupported(const format::Tensor& tensor, std::string message) {
  return Error{ErrorCode::kUnsupported, std::move(message), tensor.name};
}

// Four trits as four codes, side by side in a word.
std::uint32_t codes_of(const std::int8_t* trits) {
  std::uint32_t word;
  std::memcpy(&word, trits, sizeof word);
  return ((word & 0x7f7f7f7fu) + 0x01010101u) ^ (word & 0x80808080u);  // no carry between bytes
}

// Four bytes of a tile, as Packing says. No byte carries into the next: none exceeds 255.
std::uint32_t two_bits(const std::int8_t* trits) {
  return codes_of(trits) | codes_of(trits + 4) << 2 | codes_of(trits + 8) << 4 |
         codes_of(trits + 12) << 6;
}
std::uint32_t five_trits(const std::int8_t* trits) {
  return 28 * (3 * codes_of(trits) + codes_of(trits + 4)) + 9 * codes_of(trits + 8) +
         3 * codes_of(trits + 12) + codes_of(trits + 16);
}

// One group of rows: `trits` has kTileRows rows of whole tiles.
void pack_group(const std::int8_t* trits, std::size_t tiles, Packing packing, std::byte* packed) {
  const std::size_t columns = kernels::columns_of_tile(packing);
  for (std::size_t r = 0; r < kTileRows; ++r) {
    for (std::size_t tile = 0; tile < tiles; ++tile) {
      const std::int8_t* from = trits + (r * tiles + tile) * columns;
      const std::uint32_t word = packing == Packing::kFiveTrits ? five_trits(from) : two_bits(from);
      std::memcpy(packed + tile * kTileBytes + r * sizeof word, &word, sizeof word);
    }
  }
}

// Every worker packs groups of rows of its own. Trits beyond the matrix are zeros. Errors:
// kOutOfMemory for the trits of a group a worker.
Result<void> pack(const format::TernaryMatrix& matrix, Packing packing, std::byte* packed,
                  ThreadPool& pool) {
  const std::size_t tiles = kernels::tiles_of(matrix.columns(), packing);
  const std::size_t stride = tiles * kernels::columns_of_tile(packing);
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
      pack_group(trits, tiles, packing, packed + row / kTileRows * tiles * kTileBytes);
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

std::uint64_t allocated_bytes(const format::Tensor& tensor, Packing packing) {
  if (format::is_ternary(tensor.type)) {
    return kernels::packed_bytes(tensor.rows(), tensor.columns(), packing);
  }
  return tensor.rank == 1 ? tensor.elements() * sizeof(float) : 0;
}

Result<TernaryWeight> make_ternary_weight(const format::Tensor& tensor, Packing packing,
                                          Arena& arena, ThreadPool& pool, PackedCache* cache) {
  if (tensor.columns() > kMaxColumns) {
    return unsupported(tensor, "expected at most " + std::to_string(kMaxColumns) +
                                   " columns (sums stay exact), found " +
                                   std::to_string(tensor.columns()));
  }
  TERN_ASSIGN(const format::TernaryMatrix matrix, format::TernaryMatrix::bind(tensor));
  const std::uint64_t rows = tensor.rows();
  const std::uint64_t columns = tensor.columns();
  TERN_ASSIGN(const PackedBlob blob,
              packed_blob(cache, tensor.name, kernels::packed_bytes(rows, columns, packing), arena,
                          pool, [&](std::byte* to) { return pack(matrix, packing, to, pool); }));
  return TernaryWeight{{reinterpret_cast<const std::uint8_t*>(blob.bytes),
                        kernels::tiles_of(columns, packing), matrix.scale(), packing},
                       rows,
                       columns,
                       blob.cached};
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
