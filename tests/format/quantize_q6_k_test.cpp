// Rows to q6_k: what the format can hold comes back exactly, all else within half a step.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "format/float_blocks.h"

namespace tern::format {
namespace {

std::vector<std::byte> quantized(const std::vector<float>& values) {
  std::vector<std::byte> row(row_bytes(TensorType::kQ6_K, values.size()));
  quantize_row_q6_k(values.data(), values.size(), row.data());
  return row;
}

std::vector<float> back(const std::vector<std::byte>& row, std::size_t columns) {
  std::vector<float> values(columns);
  dequantize_row(TensorType::kQ6_K, row.data(), columns, values.data());
  return values;
}

TEST(QuantizeQ6K, ZerosAreZeroBytes) {
  EXPECT_EQ(quantized(std::vector<float>(512, 0.0f)),
            std::vector<std::byte>(row_bytes(TensorType::kQ6_K, 512)));
  EXPECT_EQ(back(quantized(std::vector<float>(256, 1e-20f)), 256), std::vector<float>(256, 0.0f));
}

// Quants that reach -32 in each group, one scale: the fit finds them again.
TEST(QuantizeQ6K, KeepsWhatItCanHold) {
  std::vector<float> values(512);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 0x1p-10f * (static_cast<float>((i * 37) % 64) - 32.0f);
  }
  for (std::size_t group = 0; group < values.size(); group += 16) values[group] = -0x1p-5f;
  EXPECT_EQ(back(quantized(values), values.size()), values);
}

TEST(QuantizeQ6K, IsWithinAStepOfTheGroup) {
  std::mt19937 generator(3);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> values(2560);
  for (float& value : values) value = normal(generator);
  const auto found = back(quantized(values), values.size());
  double error = 0.0;
  double power = 0.0;
  for (std::size_t group = 0; group < values.size(); group += 16) {
    float largest = 0.0f;
    for (std::size_t i = group; i < group + 16; ++i) {
      largest = std::max(largest, std::fabs(values[i]));
    }
    for (std::size_t i = group; i < group + 16; ++i) {
      EXPECT_LE(std::fabs(found[i] - values[i]), largest / 28.0f);
      error += std::pow(double{found[i]} - values[i], 2);
      power += std::pow(double{values[i]}, 2);
    }
  }
  EXPECT_LT(std::sqrt(error / power), 0.02);
}

// A group far below the largest has a scale of its own, of eight bits.
TEST(QuantizeQ6K, GroupsHaveScalesOfTheirOwn) {
  std::vector<float> values(256, 1.0f);
  for (std::size_t i = 16; i < 32; ++i) values[i] = 0.01f * static_cast<float>(i - 15);
  const auto found = back(quantized(values), values.size());
  for (std::size_t i = 16; i < 32; ++i) EXPECT_NEAR(found[i], values[i], 0.005f) << i;
  EXPECT_NEAR(found[0], 1.0f, 0.01f);
}

}  // namespace
}  // namespace tern::format
