#include "arch/footprint.h"

#include <gtest/gtest.h>

#include <vector>

namespace tern::arch {
namespace {

DecoderConfig shape_of_2b_4t() {
  DecoderConfig config;
  config.layers = 30;
  config.hidden = 2560;
  config.ffn = 6912;
  config.heads = 20;
  config.kv_heads = 5;
  config.head_dim = 128;
  return config;
}

// By hand, for one layer: query and output 2560 x 2560 each, key and value 2560 x 640 each, gate,
// up and down 2560 x 6912 each:
//   2 * 6,553,600 + 2 * 1,638,400 + 3 * 17,694,720 = 69,468,160; times 30 = 2,084,044,800.
TEST(Footprint, MacsOf2B4T) { EXPECT_EQ(ternary_macs_per_token(shape_of_2b_4t()), 2'084'044'800u); }

// Keys and values: 2 * 30 layers * 5 heads * 128 * 2 bytes; or 128 bytes and a scale of 4.
TEST(Footprint, KvBytesOf2B4T) {
  EXPECT_EQ(kv_bytes_per_token(shape_of_2b_4t(), format::KvType::kF16), 76'800u);
  EXPECT_EQ(kv_bytes_per_token(shape_of_2b_4t(), format::KvType::kInt8), 39'600u);
}

// By hand, for one layer of BitNet-embedding-0.6B (16 heads of 128, so queries are wider than the
// hidden size of 1024): query and output 1024 x 2048 each, key and value 1024 x 1024 each, gate, up
// and down 1024 x 3072 each: 2 * 2,097,152 + 2 * 1,048,576 + 3 * 3,145,728 = 15,728,640; times 28.
// Keys and values: 2 * 28 layers * 8 heads * 128 * 2 bytes. Norms of any kind add nothing.
TEST(Footprint, OfTheEmbeddingModel) {
  DecoderConfig config;
  config.layers = 28;
  config.hidden = 1024;
  config.ffn = 3072;
  config.heads = 16;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.norms.projection_input = config.norms.query_key = true;
  EXPECT_EQ(ternary_macs_per_token(config), 440'401'920u);
  EXPECT_EQ(kv_bytes_per_token(config, format::KvType::kF16), 114'688u);
}

// heads * head_dim need not be the hidden size: 1 layer, 64 x (2 * 3 * 32 + 2 * 1 * 32) + 3 * 64 *
// 100.
TEST(Footprint, QueryWidthIsNotTheHiddenSize) {
  DecoderConfig config;
  config.layers = 1;
  config.hidden = 64;
  config.ffn = 100;
  config.heads = 3;
  config.kv_heads = 1;
  config.head_dim = 32;
  EXPECT_EQ(ternary_macs_per_token(config), 64u * 256 + 19200);
  EXPECT_EQ(kv_bytes_per_token(config, format::KvType::kF16), 128u);
}

// The largest shape that the dialect lets through stays within 64 bits.
TEST(Footprint, LargeShapesDoNotWrap) {
  DecoderConfig config;
  config.layers = 1024;
  config.hidden = 131072;
  config.ffn = 131072;
  config.heads = 1024;
  config.kv_heads = 1024;
  config.head_dim = 128;
  EXPECT_EQ(ternary_macs_per_token(config), 1024ull * 7 * 131072 * 131072);
  EXPECT_EQ(kv_bytes_per_token(config, format::KvType::kF16), 4ull * 1024 * 131072);
}

// 3 + 5 + 7 bytes; an untied embedding (5) is read by the row.
TEST(Footprint, PayloadIsAllButAnUntiedEmbedding) {
  const std::vector<std::byte> bytes(7);
  const std::span<const std::byte> all(bytes);
  const std::vector<format::Tensor> tensors{
      {.name = "output_norm.weight", .data = all.first(3)},
      {.name = "token_embd.weight", .data = all.first(5)},
      {.name = "output.weight", .data = all},
  };
  DecoderConfig config;
  config.tied_embedding = false;
  EXPECT_EQ(payload_bytes_per_token(config, tensors), 10u);
  config.tied_embedding = true;
  EXPECT_EQ(payload_bytes_per_token(config, std::span(tensors).first(2)), 8u);
}

}  // namespace
}  // namespace tern::arch
