// Configurations read from real GGUF files: every family, and numbers that cannot be.
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "arch/dialect_fixture.h"

namespace tern::arch {
namespace {

TEST_F(Dialect, WhatIsWrittenIsRead) {
  for (const std::uint32_t head_dim : {32u, 16u}) {
    DecoderConfig written;
    written.architecture = "bitnet";
    written.name = "one";
    written.layers = 3;
    written.hidden = 64;
    written.ffn = 192;
    written.heads = 2;
    written.kv_heads = 1;
    written.head_dim = head_dim;
    written.vocab = 8;
    written.context = 99;
    written.norm_epsilon = 1e-6f;
    written.rope_theta = 5e5;
    if (head_dim == 16) written.pooling = Pooling::kLast;
    const auto config = read(written);
    ASSERT_TRUE(config.ok()) << config.error().to_string();
    EXPECT_EQ(config->architecture, "bitnet");
    EXPECT_EQ(config->name, "one");
    EXPECT_EQ(config->layers, 3u);
    EXPECT_EQ(config->hidden, 64u);
    EXPECT_EQ(config->ffn, 192u);
    EXPECT_EQ(config->heads, 2u);
    EXPECT_EQ(config->kv_heads, 1u);
    EXPECT_EQ(config->head_dim, head_dim);
    EXPECT_EQ(config->vocab, 8u);
    EXPECT_EQ(config->context, 99u);
    EXPECT_EQ(config->norm_epsilon, 1e-6f);
    EXPECT_EQ(config->rope_theta, 5e5);
    EXPECT_EQ(config->pooling, written.pooling);
  }
}

TEST_F(Dialect, EachFamilyHasItsActivationRopeAndNorms) {
  struct Expected {
    const char* architecture;
    Activation activation;
    RopePairing pairing;
    BlockNorms norms;
  };
  const BlockNorms sub_norms{.attention_sub = true, .ffn_sub = true};
  const Expected families[] = {
      {"bitnet-b1.58", Activation::kSquaredRelu, RopePairing::kHalves, sub_norms},
      {"bitnet-25", Activation::kSquaredRelu, RopePairing::kHalves, sub_norms},
      {"bitnet", Activation::kSilu, RopePairing::kHalves, sub_norms},
      {"llama", Activation::kSilu, RopePairing::kNeighbours, {}},
      {"qwen3", Activation::kSilu, RopePairing::kHalves, {.query_key = true}},
      {"gemma3",
       Activation::kGelu,
       RopePairing::kHalves,
       {.query_key = true, .post_attention = true, .post_ffn = true, .offset_gains = true}},
  };
  for (const Expected& family : families) {
    const auto config = read(TinyModel{.architecture = family.architecture});
    ASSERT_TRUE(config.ok()) << config.error().to_string();
    EXPECT_EQ(config->architecture, family.architecture);
    EXPECT_EQ(config->activation, family.activation) << family.architecture;
    EXPECT_EQ(config->rope_pairing, family.pairing) << family.architecture;
    EXPECT_TRUE(config->norms == family.norms) << family.architecture;
    const bool scaled = config->architecture == "gemma3";
    EXPECT_EQ(config->embedding_scale, scaled ? std::sqrt(128.0f) : 1.0f);
    EXPECT_FALSE(config->query_scale.has_value());
    EXPECT_FALSE(config->rope_factors);
  }
}

TEST_F(Dialect, NormsBeforeEachLinearAreFoundInAnyFamily) {
  for (const char* architecture : {"bitnet-b1.58", "llama"}) {
    const auto config = read(TinyModel{.architecture = architecture, .input_norms = true});
    ASSERT_TRUE(config.ok()) << config.error().to_string();
    EXPECT_TRUE(config->norms.projection_input) << architecture;
  }
}

TEST_F(Dialect, RopeFactorsAreOfLlamaAlone) {
  const auto config = read(TinyModel{.architecture = "llama", .rope_factors = true});
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_TRUE(config->rope_factors);
  expect_error({.tensors = {"rope_freqs.weight"}}, kUnsupported, "rope_freqs.weight",
               "the model has RoPE factors, which is not supported in a bitnet-b1.58 model");
}

TEST_F(Dialect, EachNumberIsThatOfItsKey) {
  const auto config = read(TinyModel{.layers = 3,
                                     .hidden = 384,
                                     .ffn = 512,
                                     .heads = 6,
                                     .kv_heads = 2,
                                     .head_dim = 64,
                                     .vocab = 33,
                                     .context = 77});
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_EQ(config->name, "tiny");
  EXPECT_EQ(config->layers, 3u);
  EXPECT_EQ(config->hidden, 384u);
  EXPECT_EQ(config->ffn, 512u);
  EXPECT_EQ(config->heads, 6u);
  EXPECT_EQ(config->kv_heads, 2u);
  EXPECT_EQ(config->head_dim, 64u);
  EXPECT_EQ(config->query_width(), 384u);
  EXPECT_EQ(config->kv_width(), 128u);
  EXPECT_EQ(config->vocab, 33u);
  EXPECT_EQ(config->context, 77u);
  EXPECT_EQ(config->norm_epsilon, 1e-5f);
  EXPECT_EQ(config->rope_theta, 10000.0);
  EXPECT_TRUE(config->tied_embedding);
}

TEST_F(Dialect, PoolingIsThatOfItsKey) {
  const auto with = [](std::uint32_t value) {
    return [=](GgufWriter& w) { w.set("bitnet-b1.58.pooling_type", value); };
  };
  EXPECT_FALSE(read(KeyFile{})->pooling.has_value());
  EXPECT_FALSE(read(KeyFile{.more = with(0)})->pooling.has_value());
  EXPECT_EQ(read(KeyFile{.more = with(1)})->pooling, Pooling::kMean);
  EXPECT_EQ(read(KeyFile{.more = with(2)})->pooling, Pooling::kCls);
  EXPECT_EQ(read(KeyFile{.more = with(3)})->pooling, Pooling::kLast);
  expect_error({.more = with(4)}, kUnsupported, "bitnet-b1.58.pooling_type",
               "the model ranks texts (pooling type 4), which is not supported");
  expect_error({.more = with(5)}, kMalformed, "bitnet-b1.58.pooling_type",
               "expected 0 (none), 1 (mean), 2 (cls), 3 (last) or 4 (rank), found 5");
}

// As those of 27 billion weights do: by hidden over heads, whatever the width of a head.
TEST_F(Dialect, Gemma3Of62LayersScalesItsQueries) {
  EXPECT_FALSE(read(KeyFile{.architecture = "gemma3", .layers = 61})->query_scale.has_value());
  EXPECT_FALSE(read(KeyFile{.layers = 62})->query_scale.has_value());
  EXPECT_EQ(read(KeyFile{.architecture = "gemma3", .layers = 62})->query_scale,
            1.0f / std::sqrt(32.0f));
}

TEST_F(Dialect, AnOutputTensorUnties) {
  const auto config = read(TinyModel{.tied = false});
  ASSERT_TRUE(config.ok());
  EXPECT_FALSE(config->tied_embedding);
}

TEST_F(Dialect, HeadDimensionFromItsKeyNeedsNoDivisor) {
  const auto config = read(TinyModel{.hidden = 128, .heads = 3, .kv_heads = 3, .head_dim = 128});
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_EQ(config->head_dim, 128u);
  EXPECT_EQ(config->query_width(), 384u);
}

TEST_F(Dialect, KeysThatHaveADefault) {
  const auto config = read(KeyFile{.without = "attention.head_count_kv"});
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_EQ(config->kv_heads, 2u);
  EXPECT_EQ(config->head_dim, 32u);
  EXPECT_EQ(config->name, "");
  const auto vocab = read(KeyFile{.without = "vocab_size", .rows = 11});
  ASSERT_TRUE(vocab.ok());
  EXPECT_EQ(vocab->vocab, 11u);
}

TEST_F(Dialect, MissingKeysAreNamed) {
  for (const std::string suffix :
       {"block_count", "embedding_length", "feed_forward_length", "attention.head_count",
        "context_length", "attention.layer_norm_rms_epsilon", "rope.freq_base"}) {
    const auto config = read(KeyFile{.without = suffix});
    ASSERT_FALSE(config.ok()) << suffix;
    EXPECT_EQ(config.error().code, kMalformed);
    EXPECT_NE(config.error().to_string().find("bitnet-b1.58." + suffix), std::string::npos)
        << config.error().to_string();
  }
  const auto config = read(KeyFile{.without = "general.architecture"});
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.error().to_string().find("general.architecture"), std::string::npos);
}

TEST_F(Dialect, NumbersOutOfRange) {
  expect_error({.layers = 0}, kMalformed, "bitnet-b1.58.block_count",
               "expected 1 to 1024, found 0");
  expect_error({.layers = 1025}, kMalformed, "bitnet-b1.58.block_count",
               "expected 1 to 1024, found 1025");
  expect_error({.hidden = 0}, kMalformed, "bitnet-b1.58.embedding_length",
               "expected 1 to 131072, found 0");
  expect_error({.hidden = 131073}, kMalformed, "bitnet-b1.58.embedding_length",
               "expected 1 to 131072, found 131073");
  expect_error({.ffn = 0}, kMalformed, "bitnet-b1.58.feed_forward_length",
               "expected 1 to 131072, found 0");
  expect_error({.ffn = 131073}, kMalformed, "bitnet-b1.58.feed_forward_length",
               "expected 1 to 131072, found 131073");
  expect_error({.heads = 0}, kMalformed, "bitnet-b1.58.attention.head_count",
               "expected 1 to 131072, found 0");
  expect_error({.kv_heads = 0}, kMalformed, "bitnet-b1.58.attention.head_count_kv",
               "expected 1 to 131072, found 0");
  expect_error({.vocab = 0}, kMalformed, "bitnet-b1.58.vocab_size",
               "expected 1 to 16777216, found 0");
  for (const std::uint64_t context : {std::uint64_t{0}, (std::uint64_t{1} << 24) + 1}) {
    expect_error({.without = "context_length",
                  .more = [&](GgufWriter& w) { w.set("bitnet-b1.58.context_length", context); }},
                 kMalformed, "bitnet-b1.58.context_length",
                 "expected 1 to 16777216, found " + std::to_string(context));
  }
}

// 2^32 + 64 must not be taken for 64.
TEST_F(Dialect, NumbersBeyond32BitsAreNotCut) {
  const std::uint64_t large = (std::uint64_t{1} << 32) + 64;
  expect_error({.without = "embedding_length",
                .more = [&](GgufWriter& w) { w.set("bitnet-b1.58.embedding_length", large); }},
               kMalformed, "bitnet-b1.58.embedding_length",
               "expected 1 to 131072, found 4294967360");
}

TEST_F(Dialect, EpsilonAndThetaArePositiveAndBounded) {
  EXPECT_TRUE(read(KeyFile{.epsilon = 1.0f}).ok());
  expect_error({.epsilon = 0.0f}, kMalformed, "bitnet-b1.58.attention.layer_norm_rms_epsilon",
               "expected a positive number up to 1.000000, found 0.000000");
  expect_error({.epsilon = 1.5f}, kMalformed, "bitnet-b1.58.attention.layer_norm_rms_epsilon",
               "expected a positive number up to 1.000000, found 1.500000");
  expect_error({.theta = -1.0f}, kMalformed, "bitnet-b1.58.rope.freq_base",
               "expected a positive number up to 1000000000000.000000, found -1.000000");
  expect_error({.theta = std::numeric_limits<float>::quiet_NaN()}, kMalformed,
               "bitnet-b1.58.rope.freq_base",
               "expected a positive number up to 1000000000000.000000, found nan");
  expect_error({.theta = std::numeric_limits<float>::infinity()}, kMalformed,
               "bitnet-b1.58.rope.freq_base",
               "expected a positive number up to 1000000000000.000000, found inf");
}

// Below one, frequencies would grow with the dimension.
TEST_F(Dialect, ThetaIsAtLeastOne) {
  expect_error({.theta = 0.5f}, kMalformed, "bitnet-b1.58.rope.freq_base",
               "expected at least 1, found 0.500000");
  EXPECT_TRUE(read({.theta = 1.0f}).ok());
}

TEST_F(Dialect, HeadsThatDoNotDivide) {
  expect_error({.heads = 4, .kv_heads = 3}, kMalformed, "bitnet-b1.58.attention.head_count_kv",
               "expected a divisor of the 4 query heads, found 3");
  expect_error({.heads = 2, .kv_heads = 4}, kMalformed, "bitnet-b1.58.attention.head_count_kv",
               "expected a divisor of the 2 query heads, found 4");
  expect_error({.heads = 3, .kv_heads = 3}, kMalformed, "bitnet-b1.58.attention.head_count",
               "expected a divisor of the hidden size 64, found 3");
  expect_error({.heads = 64, .kv_heads = 64}, kMalformed, "bitnet-b1.58.attention.head_count",
               "RoPE needs an even head dimension, found 1");
}

TEST_F(Dialect, HeadDimension) {
  const auto with = [](const char* key, std::uint32_t value) {
    return [=](GgufWriter& w) { w.set(std::string("bitnet-b1.58.attention.") + key, value); };
  };
  expect_error({.more = with("key_length", 0)}, kMalformed, "bitnet-b1.58.attention.key_length",
               "expected 1 to 512, found 0");
  expect_error({.more = with("key_length", 514)}, kMalformed, "bitnet-b1.58.attention.key_length",
               "expected 1 to 512, found 514");
  expect_error({.more = with("key_length", 33)}, kMalformed, "bitnet-b1.58.attention.head_count",
               "RoPE needs an even head dimension, found 33");
  expect_error({.more = with("key_length", 512), .heads = 257, .kv_heads = 257}, kMalformed,
               "bitnet-b1.58.attention.head_count",
               "heads times head dimension is 131584, expected at most 131072");
  expect_error({.more = with("value_length", 16)}, kUnsupported,
               "bitnet-b1.58.attention.value_length", "expected the key length 32, found 16");
  EXPECT_TRUE(read(KeyFile{.more = with("value_length", 32)}).ok());
  EXPECT_TRUE(read(KeyFile{.more = with("key_length", 512), .heads = 256}).ok());
}

TEST_F(Dialect, AVocabularyHoldsNoModel) {
  expect_error({.rows = 0}, kMalformed, "token_embd.weight",
               "the tensor is missing; this file holds no model (a vocabulary only?)");
}

TEST_F(Dialect, EmbeddingShape) {
  expect_error({.vocab = 9}, kMalformed, "token_embd.weight",
               "expected shape [64, 9], found [64, 8]");
  expect_error({.hidden = 128}, kMalformed, "token_embd.weight",
               "expected shape [128, 8], found [64, 8]");
}

TEST(BlockTensorName, EachRole) {
  using enum BlockTensor;
  const std::pair<BlockTensor, const char*> names[] = {
      {kAttentionNorm, "attn_norm"},
      {kQuery, "attn_q"},
      {kKey, "attn_k"},
      {kValue, "attn_v"},
      {kAttentionSubNorm, "attn_sub_norm"},
      {kAttentionOutput, "attn_output"},
      {kFfnNorm, "ffn_norm"},
      {kGate, "ffn_gate"},
      {kUp, "ffn_up"},
      {kFfnSubNorm, "ffn_sub_norm"},
      {kDown, "ffn_down"},
      {kQueryNorm, "attn_q_norm"},
      {kKeyNorm, "attn_k_norm"},
      {kQueryInputNorm, "attn_q_norm_in"},
      {kKeyInputNorm, "attn_k_norm_in"},
      {kValueInputNorm, "attn_v_norm_in"},
      {kAttentionOutputInputNorm, "attn_output_norm_in"},
      {kGateInputNorm, "ffn_gate_norm_in"},
      {kUpInputNorm, "ffn_up_norm_in"},
      {kDownInputNorm, "ffn_down_norm_in"},
      {kPostAttentionNorm, "post_attention_norm"},
      {kPostFfnNorm, "post_ffw_norm"},
  };
  for (const auto& [role, stem] : names) {
    EXPECT_EQ(block_tensor_name(0, role), std::string("blk.0.") + stem + ".weight");
    EXPECT_EQ(block_tensor_name(29, role), std::string("blk.29.") + stem + ".weight");
  }
}

}  // namespace
}  // namespace tern::arch
