// Any bytes as a matrix of i2_s, tq1_0 or tq2_0: what bind() accepts, decodes as a second decoder
// does, written value by value from the layouts' descriptions; counts, invalid codes, rows read
// apart and the way back agree with that.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "check.h"
#include "format/float_blocks.h"
#include "format/ternary/i2_s.h"
#include "format/ternary_matrix.h"

namespace {

using namespace tern::format;
using tern::fuzz::Input;
using tern::fuzz::require;

// What a value's code means; `valid` is false where it means nothing.
struct Value {
  int trit;
  bool valid;
};

Value value_of_code(unsigned code) { return {static_cast<int>(code) - 1, code != 3}; }

// The number of a byte of tq1_0: the largest v with ceil(v * 256 / 243) not above it.
unsigned tq1_number(unsigned byte) {
  unsigned v = 242;
  while ((v * 256 + 242) / 243 > byte) --v;
  return v;
}

Value tq1_value(const std::byte* block, unsigned element) {
  constexpr std::array<unsigned, 5> kWeights{81, 27, 9, 3, 1};
  unsigned at = element % 32;
  unsigned digit = element / 32;
  if (element >= 240) {
    at = 48 + (element - 240) % 4;
    digit = (element - 240) / 4;
  } else if (element >= 160) {
    at = 32 + (element - 160) % 16;
    digit = (element - 160) / 16;
  }
  const auto byte = std::to_integer<unsigned>(block[at]);
  const unsigned v = tq1_number(byte);
  const bool valid = (v * 256 + 242) / 243 == byte && (element < 240 || v % 3 == 0);
  return {static_cast<int>(v / kWeights[digit] % 3) - 1, valid};
}

Value value_at(TensorType type, const std::byte* data, std::uint64_t element) {
  if (type == TensorType::kI2_S) {
    const auto byte = std::to_integer<unsigned>(data[element / 128 * 32 + element % 32]);
    return value_of_code(byte >> (6 - 2 * (element % 128 / 32)) & 3);
  }
  const auto in_block = static_cast<unsigned>(element % 256);
  const std::byte* block = data + element / 256 * block_bytes(type);
  if (type == TensorType::kTQ1_0) return tq1_value(block, in_block);
  const auto byte = std::to_integer<unsigned>(block[in_block / 128 * 32 + in_block % 32]);
  return value_of_code(byte >> (2 * (in_block % 128 / 32)) & 3);
}

// The first value without a meaning; in a block of tq1_0, whose bytes hold values that lie apart,
// any one of the first block that has some.
void require_invalid(const TernaryMatrix& matrix, const std::vector<Value>& values,
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

void require_rows(const TernaryMatrix& matrix, const std::vector<Value>& values,
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
                    const std::vector<Value>& values) {
  if (block_elements(tensor.type) == 0) return;
  std::vector<float> floats(tensor.elements());
  dequantize_row(tensor.type, tensor.data.data(), floats.size(), floats.data());
  for (std::size_t i = 0; i < floats.size(); ++i) {
    require(floats[i] == matrix.scale() * static_cast<float>(values[i].trit));
  }
}

// The codes come back; what lies behind them need not: the scale's sign of zero, a block of zeros
// without a scale, unused bytes of a tail.
void require_way_back(const Tensor& tensor, const TernaryMatrix& matrix) {
  std::vector<std::int8_t> trits(tensor.elements());
  matrix.decode_rows(0, tensor.rows(), trits.data());
  std::vector<std::byte> encoded;
  encode_trits(tensor.type, trits.data(), trits.size(), matrix.scale(), encoded);
  const bool i2_s = tensor.type == TensorType::kI2_S;
  const std::size_t block = i2_s ? encoded.size() : block_bytes(tensor.type);
  const std::size_t codes = i2_s ? block : block - 2;
  for (std::size_t at = 0; at < encoded.size(); at += block) {
    require(
        std::ranges::equal(std::span(encoded).subspan(at, codes), tensor.data.subspan(at, codes)));
  }
  end_trits(tensor.type, matrix.scale(), encoded);
  require(encoded.size() == tensor.data.size());
  if (i2_s) require(encode_i2_s(trits, matrix.scale()).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array kTypes{TensorType::kI2_S, TensorType::kTQ1_0, TensorType::kTQ2_0};
  constexpr std::array<std::uint64_t, 8> kColumns{256, 128, 512, 64, 32, 96, 0, 200};
  Input in(data, size);
  Tensor tensor;
  tensor.type = kTypes[in.below(kTypes.size())];
  tensor.rank = 2;
  tensor.shape[0] = kColumns[in.below(kColumns.size())];
  tensor.shape[1] = in.below(6);
  const std::uint64_t first = in.byte();
  const std::uint64_t count = in.byte();
  const bool i2_s = tensor.type == TensorType::kI2_S;
  const std::uint64_t needed = i2_s ? i2_s_bytes(tensor.elements())
                                    : row_bytes(tensor.type, tensor.columns()) * tensor.rows();
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
  std::vector<Value> values;
  for (std::uint64_t i = 0; i < tensor.elements(); ++i) {
    values.push_back(value_at(tensor.type, bytes.data(), i));
  }
  require_rows(*matrix, values, 0, matrix->rows());
  const std::uint64_t begin = first % matrix->rows();
  require_rows(*matrix, values, begin, count % (matrix->rows() - begin + 1));
  require_floats(tensor, *matrix, values);
  if (!matrix->find_invalid(0, matrix->rows())) require_way_back(tensor, *matrix);
  return 0;
}
