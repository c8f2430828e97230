// What Tern does not run, each refused in its own words.
#include <string>
#include <utility>

#include "arch/dialect_fixture.h"

namespace tern::arch {
namespace {

TEST_F(Dialect, KeysThatAreNotUnderstood) {
  const auto with = [](const char* key, auto value) {
    return [=](GgufWriter& w) { w.set(std::string("bitnet-b1.58.") + key, value); };
  };
  const char* why = "the key is not understood, and it may change what the model computes";
  expect_error({.more = with("attention.scale", 0.5f)}, kUnsupported,
               "bitnet-b1.58.attention.scale", why);
  const std::pair<const char*, const char*> known[] = {
      {"expert_count", "a mixture of experts"},
      {"attention.sliding_window", "sliding-window attention"},
      {"attn_logit_softcapping", "soft-capped attention scores"},
      {"final_logit_softcapping", "soft-capped logits"},
  };
  for (const auto& [key, meaning] : known) {
    expect_error({.more = with(key, 8u)}, kUnsupported, std::string("bitnet-b1.58.") + key,
                 std::string("the model has ") + meaning + ", which is not supported");
  }
  expect_error({.more = with("attention.causal", false)}, kUnsupported,
               "bitnet-b1.58.attention.causal",
               "the model has attention to later tokens, which is not supported");
  EXPECT_TRUE(read({.more = with("attention.causal", true)}).ok());
  expect_error({.more = with("attention.causal", std::uint32_t{0})}, kUnsupported,
               "bitnet-b1.58.attention.causal",
               "the model has attention to later tokens, which is not supported");
  EXPECT_TRUE(read({.more = with("pooling_type", 3u)}).ok());  // of what is computed
  EXPECT_TRUE(read({.more = with("expert_count", 0u)}).ok());  // switched off
  EXPECT_TRUE(read({.more = [](GgufWriter& w) { w.set("other.attention.scale", 0.5f); }}).ok());
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

TEST_F(Dialect, OtherArchitecturesAreRefusedByName) {
  const std::string remedy =
      "; this version runs bitnet-b1.58, bitnet-25, bitnet, llama, qwen3, gemma3";
  const std::pair<const char*, const char*> others[] = {
      {"maple", "a mixture of experts"},
      {"qwen35", "linear attention"},
      {"falcon-h1", "state space layers"},
  };
  for (const auto& [family, feature] : others) {
    expect_error({.architecture = family}, kUnsupported, "general.architecture",
                 std::string("the family '") + family + "' has " + feature +
                     " and is not supported" + remedy);
  }
  expect_error({.architecture = "bitnet-b1"}, kUnsupported, "general.architecture",
               "unknown architecture 'bitnet-b1'" + remedy);
}

TEST_F(Dialect, TensorsThatChangeTheBlock) {
  const std::pair<const char*, const char*> foreign[] = {
      {"blk.0.attn_q_norm.weight", "query and key norms"},
      {"blk.0.attn_k_norm.weight", "query and key norms"},
      {"blk.0.post_attention_norm.weight", "post-attention norms"},
      {"blk.0.post_ffw_norm.weight", "post-FFN norms"},
      {"blk.0.ffn_gate_exps.weight", "a mixture of experts"},
      {"blk.0.ffn_up_shexp.weight", "a mixture of experts"},
  };
  for (const auto& [tensor, meaning] : foreign) {
    expect_error({.tensors = {tensor}}, kUnsupported, tensor,
                 std::string("the model has ") + meaning +
                     ", which is not supported in a bitnet-b1.58 model");
  }
  for (const char* norm : {"attn_sub_norm", "ffn_sub_norm"}) {
    const std::string tensor = std::string("blk.0.") + norm + ".weight";
    const bool attention = norm[0] == 'a';
    expect_error({.architecture = "llama", .tensors = {tensor}}, kUnsupported, tensor,
                 std::string("the model has a norm on the ") +
                     (attention ? "attention output" : "gated product") +
                     ", which is not supported in a llama model");
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
               "prism.hadamard.block",
               "Hadamard-folded weights (Ternary-Bonsai) are not supported");
}

}  // namespace
}  // namespace tern::arch
