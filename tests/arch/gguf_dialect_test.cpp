// Configurations read from real GGUF files: every family, every refusal with its words.
#include "arch/gguf_dialect.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "format/gguf/gguf_writer.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::arch {
namespace {

using format::GgufFile;
using format::GgufWriter;
using test::TinyModel;

// A file of keys and no tensor but those that a test adds: what the tiny model cannot express.
struct KeyFile {
  std::string architecture = "bitnet-b1.58";
  std::string without = {};  // a key, less the architecture, that is left out
  std::function<void(GgufWriter&)> more = nullptr;  // further keys
  std::vector<std::string> tensors = {};            // further tensors, one f32 row of 64
  std::uint32_t hidden = 64, heads = 2, kv_heads = 1, layers = 1, ffn = 128;
  std::uint32_t vocab = 8, rows = 8;
  float epsilon = 1e-5f, theta = 10000.0f;
};

class Dialect : public ::testing::Test {
 protected:
  Result<DecoderConfig> read(const KeyFile& f) {
    GgufWriter writer;
    const auto set = [&](const std::string& suffix, format::GgufWriterValue value) {
      if (suffix != f.without) writer.set(f.architecture + "." + suffix, std::move(value));
    };
    if (f.without != "general.architecture") writer.set("general.architecture", f.architecture);
    set("block_count", f.layers);
    set("embedding_length", f.hidden);
    set("feed_forward_length", f.ffn);
    set("attention.head_count", f.heads);
    set("attention.head_count_kv", f.kv_heads);
    set("context_length", std::uint32_t{512});
    set("attention.layer_norm_rms_epsilon", f.epsilon);
    set("rope.freq_base", f.theta);
    set("vocab_size", f.vocab);
    if (f.more) f.more(writer);
    const std::vector<std::byte> embedding(std::size_t{64} * f.rows * 4);
    if (f.rows != 0) {
      writer.add_tensor("token_embd.weight", format::TensorType::kF32, {64, f.rows}, embedding);
    }
    const std::vector<std::byte> row(64 * 4);
    for (const std::string& name : f.tensors) {
      writer.add_tensor(name, format::TensorType::kF32, {64}, row);
    }
    return read(writer);
  }

  Result<DecoderConfig> read(const TinyModel& model) {
    return open(test::write_tiny_model(directory_.path(), model));
  }

  Result<DecoderConfig> read(const DecoderConfig& config) {
    GgufWriter writer;
    write_decoder_config(config, writer);
    const std::vector<std::byte> embedding(std::size_t{config.hidden} * config.vocab * 4);
    writer.add_tensor("token_embd.weight", format::TensorType::kF32, {config.hidden, config.vocab},
                      embedding);
    return read(writer);
  }

  void expect_error(const KeyFile& file, ErrorCode code, const std::string& context,
                    const std::string& message) {
    const auto config = read(file);
    ASSERT_FALSE(config.ok()) << "expected: " << message;
    EXPECT_EQ(name(config.error().code), name(code));
    EXPECT_EQ(config.error().context, (directory_ / "keys.gguf").string() + ": " + context);
    EXPECT_EQ(config.error().message, message);
  }

 private:
  Result<DecoderConfig> read(const GgufWriter& writer) {
    const auto path = directory_ / "keys.gguf";
    if (auto written = writer.write(path); !written) {
      throw std::runtime_error(written.error().to_string());
    }
    return open(path);
  }
  Result<DecoderConfig> open(const std::filesystem::path& path) {
    auto file = GgufFile::open(path);
    if (!file) throw std::runtime_error(file.error().to_string());
    return read_decoder_config(*file);
  }

  test::TemporaryDirectory directory_;
};

constexpr auto kMalformed = ErrorCode::kMalformed;
constexpr auto kUnsupported = ErrorCode::kUnsupported;

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
  }
}

TEST_F(Dialect, EachFamilyHasItsActivationAndTheSubNorms) {
  const std::pair<const char*, Activation> families[] = {
      {"bitnet-b1.58", Activation::kSquaredRelu},
      {"bitnet-25", Activation::kSquaredRelu},
      {"bitnet", Activation::kSilu},
  };
  for (const auto& [architecture, activation] : families) {
    const auto config = read(TinyModel{.architecture = architecture});
    ASSERT_TRUE(config.ok()) << config.error().to_string();
    EXPECT_EQ(config->architecture, architecture);
    EXPECT_EQ(config->activation, activation) << architecture;
    EXPECT_EQ(config->rope_pairing, RopePairing::kHalves);
    EXPECT_TRUE(config->norms.attention_sub);
    EXPECT_TRUE(config->norms.ffn_sub);
    EXPECT_FALSE(config->norms.query_key);
    EXPECT_FALSE(config->norms.projection_input);
    EXPECT_FALSE(config->norms.post_attention);
    EXPECT_FALSE(config->norms.post_ffn);
    EXPECT_FALSE(config->norms.weight_offset);
    EXPECT_EQ(config->embedding_scale, 1.0f);
    EXPECT_FALSE(config->query_scale.has_value());
  }
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

TEST_F(Dialect, KeysThatAreNotUnderstood) {
  const auto with = [](const char* key, auto value) {
    return [=](GgufWriter& w) { w.set(std::string("bitnet-b1.58.") + key, value); };
  };
  const char* why = "the key is not understood, and it may change what the model computes";
  expect_error({.more = with("attention.scale", 0.5f)}, kUnsupported,
               "bitnet-b1.58.attention.scale", why);
  expect_error({.more = with("expert_count", 8u)}, kUnsupported, "bitnet-b1.58.expert_count", why);
  EXPECT_TRUE(read({.more = with("expert_count", 0u)}).ok());  // switched off
  EXPECT_TRUE(read({.more = [](GgufWriter& w) { w.set("other.attention.scale", 0.5f); }}).ok());
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
  EXPECT_TRUE(read({.more = with("value_length", 32)}).ok());
  EXPECT_TRUE(read({.more = with("key_length", 512), .heads = 256}).ok());
}

TEST_F(Dialect, PartialRope) {
  expect_error(
      {.more = [](GgufWriter& w) { w.set("bitnet-b1.58.rope.dimension_count", 16u); }},
      kUnsupported, "bitnet-b1.58.rope.dimension_count",
      "expected the head dimension 32 (RoPE over a part of a head is not supported), found 16");
}

TEST_F(Dialect, RopeScaling) {
  const auto with = [](const std::string& type, float factor) {
    return [=](GgufWriter& w) {
      if (!type.empty()) w.set("bitnet-b1.58.rope.scaling.type", type);
      if (factor != 0.0f) w.set("bitnet-b1.58.rope.scaling.factor", factor);
    };
  };
  EXPECT_TRUE(read({.more = with("none", 0.0f)}).ok());
  EXPECT_TRUE(read({.more = with("linear", 1.0f)}).ok());
  EXPECT_TRUE(read({.more = with("none", 4.0f)}).ok());  // "none" overrules the factor
  expect_error({.more = with("yarn", 0.0f)}, kUnsupported, "bitnet-b1.58.rope.scaling.type",
               "RoPE scaling 'yarn' is not supported");
  expect_error({.more = with("yarn", 1.0f)}, kUnsupported, "bitnet-b1.58.rope.scaling.type",
               "RoPE scaling 'yarn' is not supported");
  expect_error({.more = with("linear", 2.0f)}, kUnsupported, "bitnet-b1.58.rope.scaling.type",
               "RoPE scaling 'linear' is not supported");
}

// A factor without a type means linear scaling.
TEST_F(Dialect, RopeScalingFactorAlone) {
  expect_error({.more = [](GgufWriter& w) { w.set("bitnet-b1.58.rope.scaling.factor", 4.0f); }},
               kUnsupported, "bitnet-b1.58.rope.scaling.type",
               "RoPE scaling 'linear' is not supported");
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

TEST_F(Dialect, OtherArchitecturesAreRefusedByName) {
  for (const std::string family : {"llama", "falcon", "falcon3", "qwen3", "gemma3"}) {
    expect_error({.architecture = family}, kUnsupported, "general.architecture",
                 "the family '" + family +
                     "' is not supported yet; this version runs bitnet-b1.58, bitnet-25, bitnet");
  }
  expect_error({.architecture = "bitnet-b1"}, kUnsupported, "general.architecture",
               "unknown architecture 'bitnet-b1'; this version runs bitnet-b1.58, bitnet-25, "
               "bitnet");
}

TEST_F(Dialect, TensorsThatChangeTheBlock) {
  const std::pair<const char*, const char*> foreign[] = {
      {"blk.0.attn_q_norm.weight", "query and key norms"},
      {"blk.0.attn_k_norm.weight", "query and key norms"},
      {"blk.0.attn_q_norm_in.weight", "per-projection input norms"},
      {"blk.0.ffn_down_norm_in.weight", "per-projection input norms"},
      {"blk.0.post_attention_norm.weight", "post-attention norms"},
      {"blk.0.post_ffw_norm.weight", "post-FFN norms"},
      {"blk.0.ffn_gate_exps.weight", "a mixture of experts"},
      {"rope_freqs.weight", "RoPE factors"},
  };
  for (const auto& [tensor, meaning] : foreign) {
    expect_error({.tensors = {tensor}}, kUnsupported, tensor,
                 std::string("the model has ") + meaning + ", which is not supported yet");
  }
  for (const char* bias : {"blk.0.attn_q.bias", "output_norm.bias"}) {
    expect_error({.tensors = {bias}}, kUnsupported, bias, "biases are not supported");
  }
}

// What is not known is not skipped: nobody can say that the model is right without it.
TEST_F(Dialect, TensorsWithoutAPlace) {
  for (const char* tensor :
       {"mystery", "blk.0.mystery.weight", "blk.1.attn_q.weight", "blk.00.attn_q.weight",
        "blk.0.attn_q.weight.scale", "blk.0.attn_norm.scale", "token_embd.scale"}) {
    expect_error({.tensors = {tensor}}, kUnsupported, tensor,
                 "the tensor has no place in a bitnet-b1.58 model of 1 blocks");
  }
  EXPECT_TRUE(read({.tensors = {"blk.0.attn_q.weight", "output.weight"}}).ok());
  EXPECT_TRUE(read({.tensors = {"blk.0.ffn_down.scale"}}).ok());  // the loader's to judge
}

TEST_F(Dialect, HadamardFoldedWeights) {
  expect_error({.more = [](GgufWriter& w) { w.set("prism.hadamard.block", 128u); }}, kUnsupported,
               "prism.hadamard.block", "Hadamard-folded weights are not supported");
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
  };
  for (const auto& [role, stem] : names) {
    EXPECT_EQ(block_tensor_name(0, role), std::string("blk.0.") + stem + ".weight");
    EXPECT_EQ(block_tensor_name(29, role), std::string("blk.29.") + stem + ".weight");
  }
}

}  // namespace
}  // namespace tern::arch
