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

// Sixteen bytes, which every CPU adds, shifts and interleaves at once, modulo 256; or four words,
// a word being what a tile has of a row, and what a plane has of one.
using Bytes = std::uint8_t __attribute__((vector_size(16)));
using Words = std::uint32_t __attribute__((vector_size(16)));
constexpr std::size_t kWord = kTileBytes / kTileRows;
constexpr std::size_t kWords = sizeof(Words) / kWord;

Bytes times3(Bytes a) { return a + a + a; }
Bytes times4(Bytes a) {
  const Bytes twice = a + a;
  return twice + twice;
}
// Of codes that mean something, which are bytes of at most 8 here and leave their neighbours alone.
Bytes times28(Bytes a) {
  const auto words = reinterpret_cast<Words>(a);
  return reinterpret_cast<Bytes>((words << 5) - (words << 2));
}

// The bytes of a tile, as Packing says, of the trits of its planes; the constants make codes of
// them.
struct TwoBits {
  static constexpr std::size_t kPlanes = 4;
  static Bytes pack(const Bytes* trits) {
    return times4(times4(times4(trits[3]) + trits[2]) + trits[1]) + trits[0] + (1 + 4 + 16 + 64);
  }
};
struct FiveTrits {
  static constexpr std::size_t kPlanes = 5;
  static Bytes pack(const Bytes* trits) {
    const Bytes pair = times3(trits[0]) + trits[1] + (3 + 1);
    const Bytes triple = times3(times3(trits[2]) + trits[3]) + trits[4] + (9 + 3 + 1);
    return times28(pair) + triple;
  }
};

// Four words of each of four rows, `stride` apart, become the four rows of each of four words.
void transpose(const std::int8_t* rows, std::size_t stride, Bytes* planes) {
  Words of[kWords];
  for (std::size_t r = 0; r < kWords; ++r) std::memcpy(of + r, rows + r * stride, sizeof(Words));
  const Words low01 = __builtin_shufflevector(of[0], of[1], 0, 4, 1, 5);
  const Words low23 = __builtin_shufflevector(of[2], of[3], 0, 4, 1, 5);
  const Words high01 = __builtin_shufflevector(of[0], of[1], 2, 6, 3, 7);
  const Words high23 = __builtin_shufflevector(of[2], of[3], 2, 6, 3, 7);
  planes[0] = reinterpret_cast<Bytes>(__builtin_shufflevector(low01, low23, 0, 1, 4, 5));
  planes[1] = reinterpret_cast<Bytes>(__builtin_shufflevector(low01, low23, 2, 3, 6, 7));
  planes[2] = reinterpret_cast<Bytes>(__builtin_shufflevector(high01, high23, 0, 1, 4, 5));
  planes[3] = reinterpret_cast<Bytes>(__builtin_shufflevector(high01, high23, 2, 3, 6, 7));
}

// One group of rows: `trits` has kTileRows rows of `stride` trits, whole runs of kWords tiles,
// whose planes are whole vectors.
template <typename Code>
void pack_group(const std::int8_t* trits, std::size_t stride, std::size_t tiles,
                std::byte* packed) {
  constexpr std::size_t kPlanes = Code::kPlanes;
  for (std::size_t first = 0; first < tiles; first += kWords) {
    const std::size_t count = std::min(kWords, tiles - first);
    for (std::size_t row = 0; row < kTileRows; row += kWords) {
      const std::int8_t* const from = trits + row * stride + first * kPlanes * kWord;
      Bytes planes[kWords * kPlanes];
      for (std::size_t p = 0; p < kPlanes; ++p) {
        transpose(from + p * sizeof(Words), stride, planes + p * kWords);
      }
      for (std::size_t tile = 0; tile < count; ++tile) {
        const Bytes bytes = Code::pack(planes + tile * kPlanes);
        std::memcpy(packed + (first + tile) * kTileBytes + row * kWord, &bytes, sizeof bytes);
      }
    }
  }
}

// Every worker packs groups of rows of its own, and looks for codes without a meaning while the
// rows are in its cache: `invalid` becomes the first. Trits beyond the matrix are zeros. Errors:
// kOutOfMemory for the trits of a group a worker.
Result<void> pack(const format::TernaryMatrix& matrix, Packing packing, std::byte* packed,
                  ThreadPool& pool, std::optional<std::uint64_t>& invalid) {
  const std::size_t tiles = kernels::tiles_of(matrix.columns(), packing);
  const std::size_t stride =
      (tiles + kWords - 1) / kWords * kWords * kernels::columns_of_tile(packing);
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
      packing == Packing::kFiveTrits ? pack_group<FiveTrits>(trits, stride, tiles, to)
                                     : pack_group<TwoBits>(trits, stride, tiles, to);
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
