// Ternary matrices decoded a second time, value by value from the descriptions of their layouts,
// for comparison with the decoders that the product uses. Slow, and shares no code with them: the
// tiles of TL1 and TL2 are what bitnet.cpp's converter makes by reshaping and transposing arrays.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "format/tensor.h"

namespace tern::test {

// What a value's code means; `valid` is false where it means nothing, and the trit 2 then, or
// for bytes of five trits anything.
struct SecondValue {
  int trit;
  bool valid;
};

inline SecondValue value_of_code(unsigned code) { return {static_cast<int>(code) - 1, code != 3}; }

inline unsigned byte_at(const std::byte* data, std::uint64_t at) {
  return std::to_integer<unsigned>(data[at]);
}

// The number of a byte of base 3: the largest v with ceil(v * 256 / 243) not above it.
inline unsigned number_of(unsigned byte) {
  unsigned v = 242;
  while ((v * 256 + 242) / 243 > byte) --v;
  return v;
}
inline bool is_number(unsigned byte) { return (number_of(byte) * 256 + 242) / 243 == byte; }

inline SecondValue tq1_value(const std::byte* block, unsigned element) {
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
  const unsigned v = number_of(byte_at(block, at));
  const bool valid = is_number(byte_at(block, at)) && (element < 240 || v % 3 == 0);
  return {static_cast<int>(v / kWeights[digit] % 3) - 1, valid};
}

inline SecondValue iq1_value(const std::byte* block, unsigned element) {
  constexpr std::array<unsigned, 5> kWeights{1, 3, 9, 27, 81};
  const unsigned group = element / 16;
  const unsigned in_group = element % 16;
  const unsigned byte = byte_at(block, in_group == 15 ? 12 : 3 * group + in_group / 5);
  const unsigned v = number_of(byte);
  if (!is_number(byte) || (in_group == 15 && v >= 81)) return {2, false};
  return {static_cast<int>(v / kWeights[in_group == 15 ? group : in_group % 5] % 3) - 1, true};
}

// Numbers in an array of several dimensions that is reshaped and transposed, as NumPy does it.
class Array {
 public:
  explicit Array(std::size_t count) : values_(count), shape_{count} {
    std::iota(values_.begin(), values_.end(), std::size_t{0});
  }
  Array& reshape(std::vector<std::size_t> shape) {
    shape_ = std::move(shape);
    return *this;
  }
  // Exchanges two dimensions.
  Array& swap(std::size_t a, std::size_t b) {
    std::vector<std::size_t> order(shape_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::swap(order[a], order[b]);
    std::vector<std::size_t> stride(shape_.size(), 1);
    for (std::size_t d = shape_.size() - 1; d-- != 0;) stride[d] = stride[d + 1] * shape_[d + 1];
    std::vector<std::size_t> shape(shape_.size());
    for (std::size_t d = 0; d < order.size(); ++d) shape[d] = shape_[order[d]];
    std::vector<std::size_t> out(values_.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::size_t rest = i;
      std::size_t from = 0;
      for (std::size_t d = order.size(); d-- != 0; rest /= shape[d]) {
        from += rest % shape[d] * stride[order[d]];
      }
      out[i] = values_[from];
    }
    values_ = std::move(out);
    shape_ = std::move(shape);
    return *this;
  }
  const std::vector<std::size_t>& values() const { return values_; }

 private:
  std::vector<std::size_t> values_;
  std::vector<std::size_t> shape_;
};

// process_tl1: which pair of weights each nibble holds, in the order of the nibbles.
inline Array tl1_order(std::size_t m, std::size_t k, const format::TlTiling& t) {
  const std::size_t bm = t.bmm;
  const std::size_t by = 256 / bm;
  const std::size_t a = m / t.bm;
  const std::size_t b = k / t.bk;
  const std::size_t c = t.bm / bm;
  const std::size_t d = t.bk / by;
  Array array(m * k / 2);
  array.reshape({a, t.bm, k / 2}).swap(1, 2);
  array.reshape({a, b, t.bk / 2, t.bm}).swap(2, 3);
  array.reshape({a, b, c, bm, t.bk / 2}).swap(3, 4);
  array.reshape({a, b, c, d, by / 2, bm}).swap(4, 5);
  array.reshape({a, b, c, d, bm / 16, 16, by / 2}).swap(5, 6);
  array.reshape({a, b, c, d, bm / 16, by / 4, 2, 16}).swap(6, 7);
  return array;
}

// preprocess_two_weights_tl2 and preprocess_three_weights_tl2, `n` weights an index.
inline Array tl2_order(std::size_t m, std::size_t k, std::size_t strip, std::size_t bk,
                       std::size_t n) {
  const std::size_t by = 2 * n;
  Array array(m * k / n);
  array.reshape({m / strip, strip, k / n}).swap(1, 2);
  array.reshape({m / strip, k / bk, bk / n, strip}).swap(2, 3);
  array.reshape({m / strip, k / bk, strip / 32, 32, bk / n}).swap(3, 4);
  array.reshape({m / strip, k / bk, strip / 32, bk / by, 2, 32}).swap(4, 5);
  return array;
}

// And the order of the signs: 16 of 16 rows a word of each.
inline Array tl2_sign_order(std::size_t m, std::size_t k, std::size_t strip, std::size_t bk) {
  Array array(m * k / 3);
  array.reshape({m / strip, strip, k / 3}).swap(1, 2);
  array.reshape({m / strip, k / bk, bk / 3, strip}).swap(2, 3);
  array.reshape({m / strip, k / bk, strip / 32, 32, bk / 3}).swap(3, 4);
  array.reshape({m / strip, k / bk, strip / 32, bk / 24, 8, 32}).swap(4, 5);
  array.reshape({m / strip, k / bk, strip / 32, bk / 24, 32, 8}).swap(4, 5);
  return array;
}

inline void set_pair(std::vector<SecondValue>& values, std::size_t at, unsigned index) {
  const bool valid = index < 9;
  values[at] = {valid ? static_cast<int>(index / 3) - 1 : 2, valid};
  values[at + 1] = {valid ? static_cast<int>(index % 3) - 1 : 2, valid};
}

// The byte that nibble i of a group of TL2 is in: quarters 1 and 2 of 32 rows change places.
inline std::size_t tl2_byte(std::size_t nibble) {
  constexpr std::array<std::size_t, 4> kQuarter{0, 2, 1, 3};
  const std::size_t byte = nibble / 2;
  return byte / 32 * 32 + kQuarter[byte % 32 / 8] * 8 + byte % 8;
}

inline unsigned nibble_of(unsigned byte, std::size_t index) {
  return index % 2 == 0 ? byte >> 4 : byte & 15u;
}

inline std::vector<SecondValue> tl1_values(const format::Tensor& tensor) {
  std::vector<SecondValue> values(tensor.elements());
  const Array order = tl1_order(tensor.rows(), tensor.columns(), tensor.tiling);
  for (std::size_t i = 0; i < order.values().size(); ++i) {
    set_pair(values, order.values()[i] * 2, nibble_of(byte_at(tensor.data.data(), i / 2), i));
  }
  return values;
}

inline void tl2_triples(const format::Tensor& tensor, std::size_t three,
                        std::vector<SecondValue>& values) {
  const std::size_t m = tensor.rows();
  const std::byte* data = tensor.data.data();
  std::vector<int> numbers(m * three / 3);
  std::vector<bool> valid(numbers.size());
  const Array order = tl2_order(m, three, tensor.tiling.bm, tensor.tiling.bk, 3);
  for (std::size_t i = 0; i < order.values().size(); ++i) {
    const unsigned index = nibble_of(byte_at(data, tl2_byte(i)), i);
    numbers[order.values()[i]] = static_cast<int>(index);
    valid[order.values()[i]] = index < 14;
  }
  const Array signs = tl2_sign_order(m, three, tensor.tiling.bm, tensor.tiling.bk);
  for (std::size_t i = 0; i < signs.values().size(); ++i) {
    const std::size_t at = m * three / 6 + i / 256 * 32 + i % 16 * 2;
    const unsigned word = byte_at(data, at) | byte_at(data, at + 1) << 8;
    if ((word >> (15 - i % 256 / 16) & 1u) == 0) continue;
    int& number = numbers[signs.values()[i]];
    if (number == 0) valid[signs.values()[i]] = false;
    number = -number;
  }
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::size_t at = i / (three / 3) * tensor.columns() + i % (three / 3) * 3;
    const auto digits = static_cast<unsigned>(numbers[i] + 13);
    for (std::size_t n = 0; n < 3; ++n) {
      constexpr std::array<unsigned, 3> kWeights{9, 3, 1};
      const int trit = static_cast<int>(digits / kWeights[n] % 3) - 1;
      values[at + n] = valid[i] ? SecondValue{trit, true} : SecondValue{2, false};
    }
  }
}

inline std::vector<SecondValue> tl2_values(const format::Tensor& tensor) {
  const std::size_t m = tensor.rows();
  const std::size_t three = tensor.columns() / tensor.tiling.bk * tensor.tiling.bk;
  const std::size_t two = tensor.columns() - three;
  std::vector<SecondValue> values(tensor.elements());
  tl2_triples(tensor, three, values);
  if (two == 0) return values;
  std::vector<SecondValue> pairs(m * two);
  const Array order = tl2_order(m, two, tensor.tiling.bm, 32, 2);
  for (std::size_t i = 0; i < order.values().size(); ++i) {
    const std::size_t at = m * three / 6 + m * three / 24 + tl2_byte(i);
    set_pair(pairs, order.values()[i] * 2, nibble_of(byte_at(tensor.data.data(), at), i));
  }
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    values[i / two * tensor.columns() + three + i % two] = pairs[i];
  }
  return values;
}

// Of a type whose values lie in blocks.
inline SecondValue block_value(const format::Tensor& tensor, std::uint64_t element) {
  using enum format::TensorType;
  const std::byte* data = tensor.data.data();
  const std::uint64_t row = element / tensor.columns();
  const auto column = static_cast<unsigned>(element % tensor.columns());
  if (tensor.type == kI2_S) {
    const unsigned byte = byte_at(data, element / 128 * 32 + element % 32);
    return value_of_code(byte >> (6 - 2 * (element % 128 / 32)) & 3);
  }
  if (tensor.type == kTQ1_0) return tq1_value(data + element / 256 * 54, column % 256);
  if (tensor.type == kTQ2_0) {
    const unsigned in_block = column % 256;
    const unsigned byte = byte_at(data + element / 256 * 66, in_block / 128 * 32 + in_block % 32);
    return value_of_code(byte >> (2 * (in_block % 128 / 32)) & 3);
  }
  const bool one = tensor.type == kIQ1_BN;
  const std::uint64_t blocks = tensor.columns() / 64;
  const std::byte* begin = data + row * (one ? 2 + 13 * blocks : 4 + 16 * blocks);
  const std::byte* block = begin + (one ? 2 + column / 64 * 13 : 4 + column / 64 * 16);
  SecondValue value =
      one ? iq1_value(block, column % 64)
          : value_of_code(byte_at(block, column % 16) >> (column % 64 / 16 * 2) & 3);
  std::uint32_t scale = 0;
  std::memcpy(&scale, begin, one ? 2 : 4);
  const bool zero = (scale & (one ? 0x7fffu : 0x7fffffffu)) == 0;
  if (zero && value.valid) value.trit = 0;
  return value;
}

// All values of a matrix that TernaryMatrix::bind accepts, in row order.
inline std::vector<SecondValue> second_values(const format::Tensor& tensor) {
  if (tensor.type == format::TensorType::kTL1) return tl1_values(tensor);
  if (tensor.type == format::TensorType::kTL2) return tl2_values(tensor);
  std::vector<SecondValue> values;
  for (std::uint64_t i = 0; i < tensor.elements(); ++i) values.push_back(block_value(tensor, i));
  return values;
}

}  // namespace tern::test
