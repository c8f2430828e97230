// Any bytes as a ternary matrix of any type: what bind() accepts, decodes as a second decoder does,
// written value by value from the layouts' descriptions; counts, invalid codes, rows read apart and
// the way back agree with that.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "check.h"
#include "format/float_blocks.h"
#include "format/second_decoder.h"
#include "format/ternary_encoder.h"
#include "format/ternary_matrix.h"

namespace {

using namespace tern::format;
using tern::fuzz::Input;
using tern::fuzz::require;
using tern::test::second_values;
using tern::test::SecondValue;

// The first value without a meaning; in a block of tq1_0, whose bytes hold values that lie apart,
// any one of the first block that has some.
void require_invalid(const TernaryMatrix& matrix, const std::vector<SecondValue>& values,
                     std::uint64_t first, std::uint64_t count) {
  const auto found = matrix.find_invalid(first, count);
  const std::uint64_t begin = first * matrix.columns();
  const std::uint64_t end = begin + count * matrix.columns();
  std::uint64_t expected = begin;
  while (expected < end && values[expected].valid) ++expected;
  require(found.has_value() == (expected < end));
  if (!found) return;
  require(*found >= begin && *found < end && !values[*found].valid);
  require(matrix.type() == TensorType::kTQ1_0 ? *found / 256 == expected / 256
                                              : *found == expected);
}

void require_rows(const TernaryMatrix& matrix, const std::vector<SecondValue>& values,
                  std::uint64_t first, std::uint64_t count) {
  const std::uint64_t begin = first * matrix.columns();
  std::vector<std::int8_t> trits(count * matrix.columns());
  matrix.decode_rows(first, count, trits.data());
  std::array<std::uint64_t, 4> counts{};
  for (std::size_t i = 0; i < trits.size(); ++i) {
    require(trits[i] == values[begin + i].trit);
    ++counts[static_cast<std::size_t>(trits[i] + 1)];
  }
  require(matrix.count_codes(first, count) == counts);
  require_invalid(matrix, values, first, count);
}

// Values of a row as numbers: trit times the scale, that of its block the matrix's own.
void require_floats(const Tensor& tensor, const TernaryMatrix& matrix,
                    const std::vector<SecondValue>& values) {
  if (block_elements(tensor.type) == 0) return;
  std::vector<float> floats(tensor.elements());
  dequantize_row(tensor.type, tensor.data.data(), floats.size(), floats.data());
  for (std::size_t i = 0; i < floats.size(); ++i) {
    require(floats[i] == matrix.scale() * static_cast<float>(values[i].trit));
  }
}

// The codes come back; what lies beside them need not: scales of zeros, padding, a tail's unused
// bytes.
void require_way_back(Tensor tensor, const TernaryMatrix& matrix) {
  std::vector<std::int8_t> trits(tensor.elements());
  matrix.decode_rows(0, tensor.rows(), trits.data());
  const auto encoder = TernaryEncoder::create(tensor.type, tensor.rows(), tensor.columns(),
                                              matrix.scale(), tensor.tiling);
  require(encoder.ok() && encoder->bytes() == tensor.data.size());
  std::vector<std::byte> encoded(encoder->bytes());
  std::vector<std::byte> scratch;
  const TernaryEncoder::Put put = [&](std::uint64_t at, std::span<const std::byte> bytes) {
    require(at + bytes.size() <= encoded.size());
    std::ranges::copy(bytes, encoded.begin() + static_cast<std::ptrdiff_t>(at));
    return tern::Result<void>();
  };
  for (std::uint64_t row = 0; row < tensor.rows(); row += encoder->row_step()) {
    require(
        encoder
            ->encode(row, encoder->row_step(), trits.data() + row * tensor.columns(), scratch, put)
            .ok());
  }
  require(encoder->finish(put).ok());
  tensor.data = encoded;
  const auto again = TernaryMatrix::bind(tensor);
  require(again.ok() && again->scale() == matrix.scale());
  std::vector<std::int8_t> decoded(trits.size());
  again->decode_rows(0, tensor.rows(), decoded.data());
  require(decoded == trits);
}

// What the matrix takes, for shapes that its type can have.
std::uint64_t bytes_of(const Tensor& tensor) {
  const std::uint64_t rows = tensor.rows();
  const std::uint64_t columns = tensor.columns();
  switch (tensor.type) {
    case TensorType::kI2_S: return i2_s_bytes(tensor.elements());
    case TensorType::kTL1: return tl_bytes(TlLayout::kTl1, rows, columns);
    case TensorType::kTL2: return columns < 256 ? 0 : tl_bytes(TlLayout::kTl2, rows, columns);
    case TensorType::kIQ1_BN: return rows * iq_bn_row_bytes(IqBnLayout::kIq1Bn, columns);
    case TensorType::kIQ2_BN: return rows * iq_bn_row_bytes(IqBnLayout::kIq2Bn, columns);
    default: return row_bytes(tensor.type, columns) * rows;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array kTypes{TensorType::kI2_S,  TensorType::kTQ1_0, TensorType::kTQ2_0,
                              TensorType::kTL1,   TensorType::kTL2,   TensorType::kIQ1_BN,
                              TensorType::kIQ2_BN};
  constexpr std::array<std::uint64_t, 8> kColumns{256, 128, 512, 64, 32, 288, 0, 200};
  constexpr std::array<std::uint32_t, 6> kTile{32, 64, 96, 128, 0, 24};
  Input in(data, size);
  Tensor tensor;
  tensor.type = kTypes[in.below(kTypes.size())];
  tensor.rank = 2;
  const bool tiled = tensor.type == TensorType::kTL1 || tensor.type == TensorType::kTL2;
  tensor.shape[0] = kColumns[in.below(kColumns.size())];
  tensor.shape[1] = in.below(6) * (tiled ? 32 : 1);
  tensor.tiling = {kTile[in.below(6)], kTile[in.below(6)], kTile[in.below(6)]};
  const std::uint64_t first = in.byte();
  const std::uint64_t count = in.byte();
  const std::uint64_t needed = bytes_of(tensor);
  const std::size_t length = in.below(16) == 15 ? in.byte() : needed;
  std::vector<std::byte> bytes = in.copy(length);
  bytes.resize(length);
  tensor.data = bytes;

  const auto matrix = TernaryMatrix::bind(tensor);
  if (!matrix.ok()) {
    require(!matrix.error().message.empty());
    return 0;
  }
  require(bytes.size() == needed && std::isfinite(matrix->scale()) && matrix->scale() >= 0);
  const std::vector<SecondValue> values = second_values(tensor);
  require_rows(*matrix, values, 0, matrix->rows());
  const std::uint64_t begin = first % matrix->rows();
  require_rows(*matrix, values, begin, count % (matrix->rows() - begin + 1));
  require_floats(tensor, *matrix, values);
  if (!matrix->find_invalid(0, matrix->rows())) require_way_back(tensor, *matrix);
  return 0;
}
