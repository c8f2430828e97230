#include "format/float_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/float16.h"
#include "format/gguf/gguf_file.h"

namespace tern::format {
namespace {

TEST(FloatBlocks, KnowTheirSizes) {
  EXPECT_EQ(row_bytes(TensorType::kF32, 10), 40u);
  EXPECT_EQ(row_bytes(TensorType::kF16, 10), 20u);
  EXPECT_EQ(row_bytes(TensorType::kBF16, 10), 20u);
  EXPECT_EQ(row_bytes(TensorType::kQ8_0, 64), 68u);
  EXPECT_EQ(row_bytes(TensorType::kQ6_K, 512), 420u);
  EXPECT_EQ(row_bytes(TensorType::kQ4_0, 64), 36u);
  EXPECT_EQ(row_bytes(TensorType::kTQ1_0, 512), 108u);
  EXPECT_EQ(row_bytes(TensorType::kTQ2_0, 512), 132u);
  EXPECT_EQ(row_bytes(TensorType::kI2_S, 512), 0u);
  EXPECT_EQ(block_elements(TensorType::kQ6_K), 256u);
  EXPECT_EQ(block_bytes(TensorType::kQ6_K), 210u);
  EXPECT_EQ(block_elements(TensorType::kI2_S), 0u);
  EXPECT_EQ(block_bytes(TensorType::kI2_S), 0u);
}

// Bytes and their meaning, both from another implementation: tests/reference/make_float_blocks.py.
TEST(FloatBlocks, AgreeWithTheReference) {
  const auto file = GgufFile::open(TERN_SOURCE_DIR "/tests/reference/data/float_blocks.gguf");
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  for (const std::string name : {"f32", "f16", "bf16", "q8_0", "q6_k", "q4_0", "tq1_0", "tq2_0"}) {
    const Tensor* blocks = file->tensor(name);
    const Tensor* meaning = file->tensor(name + ".f32");
    ASSERT_NE(blocks, nullptr) << name;
    ASSERT_NE(meaning, nullptr) << name;
    ASSERT_EQ(tern::format::name(blocks->type), name);
    ASSERT_EQ(blocks->columns(), meaning->columns());
    const std::uint64_t stride = row_bytes(blocks->type, blocks->columns());
    ASSERT_EQ(blocks->data.size(), stride * blocks->rows());
    std::vector<float> row(blocks->columns());
    for (std::uint64_t r = 0; r < blocks->rows(); ++r) {
      dequantize_row(blocks->type, blocks->data.data() + r * stride, row.size(), row.data());
      EXPECT_EQ(std::memcmp(row.data(), meaning->data.data() + r * row.size() * 4, row.size() * 4),
                0)
          << name << " row " << r;
    }
  }
}

TEST(FloatBlocks, Q8QuantisesByTheReferenceRule) {
  std::vector<float> values(64, 0.0f);  // the second block stays zero
  for (int i = 0; i < 32; ++i) values[static_cast<std::size_t>(i)] = static_cast<float>(i) - 12.5f;
  std::vector<std::byte> row(68);
  quantize_row_q8_0(values.data(), values.size(), row.data());
  const float d = 18.5f / 127;
  const std::uint16_t d_bits = f32_to_f16(d);
  EXPECT_EQ(std::memcmp(row.data(), &d_bits, 2), 0);
  for (std::size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(static_cast<std::int8_t>(row[2 + i]), std::lround(values[i] * (1 / d))) << i;
  }
  EXPECT_EQ(static_cast<std::int8_t>(row[33]), 127);
  for (std::size_t i = 34; i < 68; ++i) EXPECT_EQ(row[i], std::byte{0}) << i;
}

// 1/d would be infinite, and what integer an infinity becomes depends on the CPU. f16 has no d so
// small: the block is zeros.
TEST(FloatBlocks, Q8OfValuesWithoutAReciprocalIsZeros) {
  std::vector<float> values(32, 0.0f);
  values[3] = 0x1p-122f;
  values[4] = -0x1p-123f;
  std::vector<std::byte> row(34, std::byte{0xff});
  quantize_row_q8_0(values.data(), values.size(), row.data());
  EXPECT_EQ(row, std::vector<std::byte>(34));
}

TEST(FloatBlocks, PackedQuantsComeBack) {
  const std::uint16_t d = f32_to_f16(0x1p-9f);
  std::vector<std::int8_t> quants(256);
  std::vector<float> values(256);
  std::vector<std::byte> block(210);
  for (int i = 0; i < 32; ++i)
    quants[static_cast<std::size_t>(i)] = static_cast<std::int8_t>(8 * i - 127);
  pack_q8_0(d, quants.data(), block.data());
  dequantize_row(TensorType::kQ8_0, block.data(), 32, values.data());
  for (std::size_t i = 0; i < 32; ++i)
    EXPECT_EQ(values[i], static_cast<float>(quants[i]) * 0x1p-9f);
  std::vector<std::int8_t> scales(16);
  for (int i = 0; i < 16; ++i)
    scales[static_cast<std::size_t>(i)] = static_cast<std::int8_t>(i * 15 - 120);
  for (int i = 0; i < 256; ++i)
    quants[static_cast<std::size_t>(i)] = static_cast<std::int8_t>(i * 37 % 64 - 32);
  pack_q6_k(d, scales.data(), quants.data(), block.data());
  dequantize_row(TensorType::kQ6_K, block.data(), 256, values.data());
  for (std::size_t i = 0; i < 256; ++i) {
    EXPECT_EQ(values[i], static_cast<float>(scales[i / 16] * quants[i]) * 0x1p-9f) << i;
  }
}

// All of them, NaN payloads included.
TEST(FloatBlocks, RowsOfHalvesAreTheHalves) {
  std::vector<std::uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> values(halves.size());
  const auto* bytes = reinterpret_cast<const std::byte*>(halves.data());
  dequantize_row(TensorType::kF16, bytes, halves.size(), values.data());
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const float expected = f16_to_f32(halves[i]);
    ASSERT_EQ(std::memcmp(&values[i], &expected, sizeof expected), 0) << i;
  }
}

TEST(FloatBlocks, I2sHasNoRows) {
  float out = 42;
  const std::byte row[32]{};
  dequantize_row(TensorType::kI2_S, row, 1, &out);
  EXPECT_EQ(out, 42);
}

}  // namespace
}  // namespace tern::format
