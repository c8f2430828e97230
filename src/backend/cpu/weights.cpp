#include "backend/cpu/weights.h"

#include <algorithm>
#include <cstring>

#include "core/aligned_buffer.h"
#include "core/mapped_file.h"
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

// Arithmetic of bytes modulo 256 without multiplication, of which compilers make vectors.
using Byte = std::uint8_t;
Byte sum(Byte a, Byte b) { return static_cast<Byte>(a + b); }
Byte twice(Byte a) { return sum(a, a); }
Byte times3(Byte a) { return sum(twice(a), a); }
Byte times4(Byte a) { return twice(twice(a)); }
Byte times28(Byte a) { return times4(static_cast<Byte>(twice(times4(a)) - a)); }

// A byte of a tile, as Packing says, of the trits of its columns; the constants make codes of them.
struct TwoBits {
  static constexpr std::size_t kPlanes = 4;
  static Byte pack(Byte a, Byte b, Byte c, Byte d, Byte /*none*/) {
    return sum(sum(times4(sum(times4(sum(times4(d), c)), b)), a), 1 + 4 + 16 + 64);
  }
};
struct FiveTrits {
  static constexpr std::size_t kPlanes = 5;
  static Byte pack(Byte a, Byte b, Byte c, Byte d, Byte e) {
    const Byte pair = sum(times3(a), b);
    const Byte triple = sum(times3(sum(times3(c), d)), e);
    return sum(sum(times28(pair), triple), 28 * (3 + 1) + 9 + 3 + 1);
  }
};

// The trits that lie at one place of all bytes of a tile.
using Planes = Byte[5][kTileBytes];

template <typename Code>
void pack_tile(const Planes& planes, std::byte* packed) {
  Byte bytes[kTileBytes];
  for (std::size_t i = 0; i < kTileBytes; ++i) {
    bytes[i] = Code::pack(planes[0][i], planes[1][i], planes[2][i], planes[3][i],
                          Code::kPlanes == 5 ? planes[4][i] : Byte{0});
  }
  std::memcpy(packed, bytes, sizeof bytes);
}

// One group of rows: `trits` has kTileRows rows of whole tiles. Some tiles' planes are brought
// together before the first is packed: words that were just stored are not there yet for the loads
// of whole vectors.
template <typename Code>
void pack_group(const std::int8_t* trits, std::size_t tiles, std::byte* packed) {
  constexpr std::size_t kWord = kTileBytes / kTileRows;
  constexpr std::size_t kTogether = 8;
  const std::size_t row_trits = tiles * Code::kPlanes * kWord;
  for (std::size_t first = 0; first < tiles; first += kTogether) {
    const std::size_t count = std::min(kTogether, tiles - first);
    Planes planes[kTogether];
    for (std::size_t r = 0; r < kTileRows; ++r) {
      const std::int8_t* from = trits + r * row_trits + first * Code::kPlanes * kWord;
      for (std::size_t tile = 0; tile < count; ++tile) {
        for (std::size_t p = 0; p < Code::kPlanes; ++p, from += kWord) {
          std::memcpy(planes[tile][p] + r * kWord, from, kWord);
        }
      }
    }
    for (std::size_t tile = 0; tile < count; ++tile) {
      pack_tile<Code>(planes[tile], packed + (first + tile) * kTileBytes);
    }
  }
}

// Every worker packs groups of rows of its own, and looks for codes without a meaning while the
// rows are in its cache: `invalid` becomes the first. Trits beyond the matrix are zeros. Errors:
// kOutOfMemory for the trits of a group a worker.
Result<void> pack(const format::TernaryMatrix& matrix, Packing packing, std::byte* packed,
                  ThreadPool& pool, std::optional<std::uint64_t>& invalid) {
  const std::size_t tiles = kernels::tiles_of(matrix.columns(), packing);
  const std::size_t stride = tiles * kernels::columns_of_tile(packing);
  const std::size_t group = kTileRows * stride;
  TERN_ASSIGN(AlignedBuffer decoded,
              AlignedBuffer::allocate(pool.size() * group, "trits of ternary weights"));
  std::vector<std::optional<std::uint64_t>> found(pool.size());  // ascending, as the slices are
  pool.run([&](ThreadPool::Worker& worker) {
    const Slice slice = slice_of(matrix.rows(), kTileRows, worker.index(), worker.count());
    auto* const trits = decoded.as<std::int8_t>(worker.index() * group);
    for (std::uint64_t row = slice.begin; row < slice.end; row += kTileRows) {
      const std::uint64_t count = std::min<std::uint64_t>(kTileRows, slice.end - row);
      for (std::uint64_t r = 0; r < count; ++r) {
        matrix.decode_rows(row + r, 1, trits + r * stride);
      }
      auto& first = found[worker.index()];
      if (!first) first = matrix.find_invalid(row, count);
      std::fill(trits + count * stride, trits + group, std::int8_t{0});
      std::byte* const to = packed + row / kTileRows * tiles * kTileBytes;
      packing == Packing::kFiveTrits ? pack_group<FiveTrits>(trits, tiles, to)
                                     : pack_group<TwoBits>(trits, tiles, to);
    }
  });
  const auto first =
      std::find_if(found.begin(), found.end(), [](const auto& at) { return at.has_value(); });
  if (first != found.end()) invalid = *first;
  return {};
}

}  // namespace

kernels::TernaryTiles TernaryWeight::from(std::uint64_t first, std::size_t tokens) const {
  kernels::TernaryTiles part = tiles;
  part.codes += first / kTileRows * tiles.tiles * kTileBytes;
  if (tokens > 1) part.read = {};
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
  std::optional<std::uint64_t> invalid;
  TERN_ASSIGN(
      const PackedBlob blob,
      packed_blob(cache, tensor.name, kernels::packed_bytes(rows, columns, packing), arena, pool,
                  [&](std::byte* to) { return pack(matrix, packing, to, pool, invalid); }));
  return TernaryWeight{{reinterpret_cast<const std::uint8_t*>(blob.bytes),
                        kernels::tiles_of(columns, packing), matrix.scale(), packing},
                       rows,
                       columns,
                       invalid};
}

const std::byte* few_rows(const format::Tensor& matrix, std::size_t first, std::size_t count,
                          std::byte* room) {
  const std::size_t row_bytes = format::row_bytes(matrix.type, matrix.columns());
  const auto rows = matrix.data.subspan(first * row_bytes, count * row_bytes);
  if (matrix.file == nullptr) return rows.data();
  matrix.file->copy(rows, room);
  return room;
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
