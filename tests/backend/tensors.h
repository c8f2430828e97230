// Tensors of a test's own bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/result.h"
#include "format/tensor.h"
#include "format/ternary/i2_s.h"

namespace tern::test {

// Test code: a failure is a thrown exception, which fails the test with its message.
template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}
inline void must(Result<void> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
}

// A tensor and the bytes that it borrows.
struct OwnedTensor {
  std::vector<std::byte> bytes;
  format::Tensor tensor;
};

inline OwnedTensor make_tensor(std::string name, format::TensorType type,
                               std::vector<std::uint64_t> shape, std::vector<std::byte> bytes) {
  OwnedTensor owned{std::move(bytes), {}};
  owned.tensor.name = std::move(name);
  owned.tensor.type = type;
  owned.tensor.rank = static_cast<std::uint32_t>(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) owned.tensor.shape[i] = shape[i];
  owned.tensor.data = owned.bytes;  // moving a vector keeps its memory
  return owned;
}

inline OwnedTensor make_floats(std::string name, std::vector<std::uint64_t> shape,
                               const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return make_tensor(std::move(name), format::TensorType::kF32, std::move(shape), std::move(bytes));
}

inline OwnedTensor make_ternary(std::string name, const std::vector<std::int8_t>& trits,
                                std::uint64_t columns, float scale) {
  return make_tensor(std::move(name), format::TensorType::kI2_S, {columns, trits.size() / columns},
                     must(format::encode_i2_s(trits, scale)));
}

inline std::vector<float> normals(std::size_t n, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(generator);
  return x;
}

inline std::vector<std::int8_t> random_trits(std::size_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<std::int8_t> trits(count);
  for (auto& trit : trits) {
    trit = static_cast<std::int8_t>(static_cast<int>(generator() % 3u) - 1);
  }
  return trits;
}

}  // namespace tern::test
