// config.json of a checkpoint: what is read, what is refused and in which words, and the tensors
// that follow.
#include "arch/hf_dialect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <stdexcept>

#include "core/json.h"

namespace tern::arch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

constexpr const char* kGood = R"({
  "architectures": ["BitNetForCausalLM"], "hidden_act": "relu2", "hidden_size": 256,
  "intermediate_size": 640, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 512,
  "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                          "quantization_mode": "offline"}})";
constexpr const char* kOfLlama = R"("architectures": ["LlamaForCausalLM"], "hidden_act": "silu")";
constexpr const char* kOfGemma =
    R"("architectures": ["Gemma3ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh",
       "layer_types": ["full_attention", "full_attention"])";

boost::json::object parsed(const std::string& text) {
  auto value = parse_json(text);
  if (!value) throw std::runtime_error(value.error().to_string());
  return value->as_object();
}

// Members of `changes` take the place of those of `to`; nothing by null, objects member by member.
void merge(const boost::json::object& changes, boost::json::object& to) {
  for (const auto& member : changes) {
    boost::json::value& there = to[member.key()];
    if (member.value().is_object() && there.is_object()) {
      merge(member.value().get_object(), there.get_object());
    } else {
      there = member.value();
    }
  }
}

// The good configuration with these members instead of its own.
Result<HfModel> with(const std::string& members) {
  boost::json::object object = parsed(kGood);
  merge(parsed("{" + members + "}"), object);
  return read_hf_config(object, "c");
}

HfModel good(const std::string& members = "") {
  auto model = with(members);
  if (!model) throw std::runtime_error(members + ": " + model.error().to_string());
  return std::move(*model);
}

void expect_refusal(const std::string& members, ErrorCode code, const std::string& words) {
  const auto model = with(members);
  ASSERT_FALSE(model.ok()) << members;
  EXPECT_EQ(name(model.error().code), name(code)) << members;
  EXPECT_EQ(model.error().to_string(), "c: " + words) << members;
}
void malformed(const std::string& members, const std::string& words) {
  expect_refusal(members, ErrorCode::kMalformed, words);
}
void unsupported(const std::string& members, const std::string& words) {
  expect_refusal(members, ErrorCode::kUnsupported, words);
}

TEST(HfDialect, ReadsTheShape) {
  const DecoderConfig config = good().config;
  EXPECT_EQ(config.architecture, "bitnet-b1.58");
  EXPECT_EQ(config.layers, 2u);
  EXPECT_EQ(config.hidden, 256u);
  EXPECT_EQ(config.ffn, 640u);
  EXPECT_EQ(config.heads, 4u);
  EXPECT_EQ(config.kv_heads, 2u);
  EXPECT_EQ(config.head_dim, 64u);
  EXPECT_EQ(config.vocab, 320u);
  EXPECT_EQ(config.context, 512u);
  EXPECT_EQ(config.norm_epsilon, 1e-5f);
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_FALSE(config.tied_embedding);
  EXPECT_FALSE(config.rope_factors);
  EXPECT_EQ(good(R"("num_key_value_heads": null)").config.kv_heads, 4u);
  EXPECT_EQ(good(R"("head_dim": 80)").config.head_dim, 80u);
  EXPECT_EQ(good(R"("head_dim": 64, "hidden_size": 254)").config.hidden, 254u);
  EXPECT_EQ(good(R"("rope_theta": 500000)").config.rope_theta, 500000.0);
  EXPECT_TRUE(good(R"("tie_word_embeddings": true)").config.tied_embedding);
}

TEST(HfDialect, TakesTheLargestShapesAndNoLarger) {
  EXPECT_EQ(good(R"("hidden_size": 131072)").config.hidden, 131072u);
  EXPECT_EQ(good(R"("num_hidden_layers": 1024)").config.layers, 1024u);
  EXPECT_EQ(good(R"("num_hidden_layers": 1)").config.layers, 1u);
  EXPECT_EQ(good(R"("vocab_size": 16777216)").config.vocab, 16777216u);
  malformed(R"("hidden_size": 131073)",
            "hidden_size: expected a whole number of 1 to 131072, found 131073");
  malformed(R"("num_hidden_layers": 1025)",
            "num_hidden_layers: expected a whole number of 1 to 1024, found 1025");
  malformed(R"("num_hidden_layers": 0)",
            "num_hidden_layers: expected a whole number of 1 to 1024, found 0");
  malformed(R"("vocab_size": 16777217)",
            "vocab_size: expected a whole number of 1 to 16777216, found 16777217");
  malformed(R"("vocab_size": 18446744073709551615)",
            "vocab_size: expected a whole number of 1 to 16777216, found 18446744073709551615");
  malformed(R"("intermediate_size": 2.0)",
            "intermediate_size: expected a whole number of 1 to 131072, found 2E0");
  malformed(R"("max_position_embeddings": null)",
            "max_position_embeddings: expected a whole number of 1 to 16777216, found nothing");
}

TEST(HfDialect, ShapesThatContradictThemselves) {
  malformed(R"("hidden_size": 254)",
            "num_attention_heads: expected a divisor of hidden_size 254, found 4");
  malformed(R"("num_key_value_heads": 3)",
            "num_key_value_heads: expected a divisor of num_attention_heads 4, found 3");
  malformed(R"("head_dim": 63)", "head_dim: RoPE needs an even head size, found 63");
  unsupported(R"("query_pre_attn_scalar": 65)",
              "query_pre_attn_scalar: expected the head size 64, found 65");
  good(R"("query_pre_attn_scalar": 64)");
}

TEST(HfDialect, NumbersAreAboveZero) {
  EXPECT_EQ(good(R"("rope_theta": 1e12)").config.rope_theta, 1e12);
  malformed(R"("rope_theta": 1.5e12)", "rope_theta: expected a number above zero, found 1.5E12");
  malformed(R"("rope_theta": 0)", "rope_theta: expected a number above zero, found 0");
  malformed(R"("rope_theta": 0.0)", "rope_theta: expected a number above zero, found 0E0");
  malformed(R"("rope_theta": -1)", "rope_theta: expected a number above zero, found -1");
  malformed(R"("rope_theta": "1")", "rope_theta: expected a number above zero, found \"1\"");
  malformed(R"("rms_norm_eps": null)", "rms_norm_eps: expected a number above zero, found nothing");
}

// Of what is shown, sixty characters.
TEST(HfDialect, MessagesShowTheBeginningOfALongValue) {
  const std::string fits(58, 'x');
  malformed(R"("rope_theta": ")" + fits + '"',
            "rope_theta: expected a number above zero, found \"" + fits + '"');
  malformed(R"("rope_theta": ")" + fits + "y\"",
            "rope_theta: expected a number above zero, found \"" + fits + "y...");
}

TEST(HfDialect, FamiliesByClassAndActivation) {
  EXPECT_EQ(good(R"("hidden_act": "silu")").config.architecture, "bitnet");
  const HfModel old = good(R"("architectures": ["BitnetForCausalLM"], "hidden_act": "silu",
              "quantization_config": null)");
  EXPECT_EQ(old.config.architecture, "bitnet");
  EXPECT_EQ(old.weights, HfWeights::kOnline);
  EXPECT_TRUE(old.old_norm_names);
  const HfModel llama = good(kOfLlama);
  EXPECT_EQ(llama.config.architecture, "llama");
  EXPECT_EQ(llama.gain_offset, 0.0f);
  EXPECT_FALSE(llama.old_norm_names);
  const HfModel gemma = good(kOfGemma);
  EXPECT_EQ(gemma.config.architecture, "gemma3");
  EXPECT_TRUE(gemma.config.tied_embedding);
  EXPECT_EQ(gemma.gain_offset, 1.0f);
  const std::string all =
      "; this version converts BitNetForCausalLM with relu2, BitNetForCausalLM with silu, "
      "BitnetForCausalLM with silu, LlamaForCausalLM with silu, Qwen3ForCausalLM with silu, "
      "Gemma3ForCausalLM with gelu_pytorch_tanh";
  unsupported(R"("architectures": ["MapleForCausalLM"])",
              "architectures: unknown class 'MapleForCausalLM'" + all);
  unsupported(R"("hidden_act": "gelu_pytorch_tanh")",
              "hidden_act: the activation 'gelu_pytorch_tanh' is not known of the class" + all);
  // The newer name counts where both stand there.
  unsupported(R"("hidden_activation": "silu2")",
              "hidden_activation: the activation 'silu2' is not known of the class" + all);
  malformed(R"("hidden_act": null)", "hidden_act: expected a text, found nothing");
  malformed(R"("hidden_act": 3)", "hidden_act: expected a text, found 3");
}

TEST(HfDialect, ClassesAreAListOfOneName) {
  for (const char* value :
       {"\"BitNetForCausalLM\"", "[]", "[3]", R"(["BitNetForCausalLM","BitNetForCausalLM"])"}) {
    malformed(std::string(R"("architectures": )") + value,
              std::string("architectures: expected a list of one class, found ") + value);
  }
  malformed(R"("architectures": null)",
            "architectures: expected a list of one class, found nothing");
}

TEST(HfDialect, UnknownSettingsAreRefusedUnlessTheyAreOff) {
  for (const char* off : {"null", "false", "0", "0.0", "\"\"", "[]", "{}"}) {
    good(std::string(R"("attention_bias": )") + off);
  }
  for (const char* on :
       {"true", "1", "-1", "5E-1", "\"a\"", "[0]", R"({"a":0})", "18446744073709551615"}) {
    const std::string value = on;
    unsupported(R"("attention_bias": )" + value,
                "attention_bias: the setting is not understood, and it may change what the model "
                "computes; found " +
                    value);
  }
}

TEST(HfDialect, WindowsAreRefusedHoweverTheyAreSaid) {
  good(R"("layer_types": ["full_attention"], "sliding_window": 512)");  // none slides
  good(R"("sliding_window": 512, "use_sliding_window": false)");
  good(R"("use_sliding_window": true)");
  unsupported(R"("layer_types": ["full_attention", "sliding_attention"])",
              "layer_types: expected full_attention alone, found \"sliding_attention\"");
  unsupported(R"("layer_types": [1])", "layer_types: expected full_attention alone, found 1");
  unsupported(R"("sliding_window": 512)",
              "sliding_window: sliding-window attention is not supported");
  malformed(R"("use_sliding_window": 1)", "use_sliding_window: expected true or false, found 1");
  unsupported(R"("architectures": ["Gemma3ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh")",
              "layer_types: expected a list of full_attention, found nothing: without it Gemma 3 "
              "slides windows, which is not supported");
}

TEST(HfDialect, WeightsAreHeldInFourWays) {
  const auto weights = [](const std::string& quantisation) {
    return good(R"("quantization_config": )" + quantisation).weights;
  };
  EXPECT_EQ(weights("{}"), HfWeights::kPackedMultiply);
  EXPECT_EQ(weights(R"({"linear_class": null})"), HfWeights::kPackedDivide);
  EXPECT_EQ(weights(R"({"linear_class": "bitlinear"})"), HfWeights::kPackedDivide);
  EXPECT_EQ(weights(R"({"quantization_mode": null})"), HfWeights::kPackedMultiply);
  EXPECT_EQ(weights(R"({"quantization_mode": "online"})"), HfWeights::kOnline);
  EXPECT_EQ(weights("null"), HfWeights::kTernaryFloats);
}

TEST(HfDialect, OtherQuantisationsAreRefused) {
  const auto in = [](const std::string& members) {
    return R"("quantization_config": {)" + members + "}";
  };
  const std::string found = "quantization_config: ";
  unsupported(in(R"("quant_method": "gptq")"),
              found + "quant_method: expected 'bitnet', found 'gptq'");
  malformed(in(R"("quant_method": null)"), found + "quant_method: expected a text, found nothing");
  unsupported(in(R"("group_size": 64)"),
              found +
                  "group_size: the setting is not understood, and it may change what the "
                  "model computes; found 64");
  unsupported(in(R"("linear_class": "other")"),
              found + "linear_class: expected 'bitlinear' or 'autobitlinear', found 'other'");
  unsupported(in(R"("quantization_mode": "late")"),
              found + "quantization_mode: expected 'offline' or 'online', found 'late'");
  unsupported(in(R"("quantization_mode": "online", "linear_class": "bitlinear")"),
              found +
                  "quantization_mode: 'online' goes with linear_class 'autobitlinear', found "
                  "'bitlinear'");
  unsupported(R"("quantization_config": 1)",
              found + "expected an object, in a class that knows it; found 1");
  const auto old = with(R"("architectures": ["BitnetForCausalLM"], "hidden_act": "silu")");
  ASSERT_FALSE(old.ok());
  EXPECT_EQ(old.error().context, "c: quantization_config");
}

TEST(HfDialect, HeadsAloneMayBeLeftUnconverted) {
  const auto modules = [](const std::string& value) {
    return R"("quantization_config": {"modules_to_not_convert": )" + value + "}";
  };
  good(modules("[]"));
  good(modules(R"(["lm_head", "lm_head"])"));
  for (const char* value : {"[\"lm_head\",\"q_proj\"]", "[3]", "\"lm_head\""}) {
    unsupported(modules(value), std::string("quantization_config: modules_to_not_convert: expected "
                                            "lm_head alone, found ") +
                                    value);
  }
}

TEST(HfDialect, NormsBeforeEachLinear) {
  const auto norms = [](const std::string& members) {
    return R"("quantization_config": {"use_rms_norm": )" + members + "}";
  };
  EXPECT_FALSE(good().config.norms.projection_input);
  EXPECT_FALSE(good(norms(R"(false, "rms_norm_eps": 0.5)")).config.norms.projection_input);
  EXPECT_TRUE(good(norms(R"(true, "rms_norm_eps": 1e-5)")).config.norms.projection_input);
  EXPECT_TRUE(good(norms("true") + R"(, "rms_norm_eps": 1e-6)").config.norms.projection_input);
  unsupported(norms(R"(true, "rms_norm_eps": 0.5)"),
              "quantization_config: rms_norm_eps: expected that of the model's other norms, "
              "0.000010, found 0.500000");
}

TEST(HfDialect, RopeIsPlainOrThatOfLlama3) {
  EXPECT_EQ(good(R"("rope_theta": null, "rope_parameters": {"rope_theta": 7.0})").config.rope_theta,
            7.0);
  EXPECT_EQ(good(R"("rope_theta": 7, "rope_parameters": {"rope_theta": 7.0})").config.rope_theta,
            7.0);
  EXPECT_EQ(good(R"("rope_parameters": {"rope_type": "default"})").config.rope_theta, 10000.0);
  good(R"("rope_scaling": {"type": "default"})");
  // Of Gemma 3, that of full attention counts.
  EXPECT_EQ(good(std::string(kOfGemma) + R"(, "rope_theta": null, "rope_parameters": {
                   "full_attention": {"rope_theta": 5.0}, "sliding_attention": {"rope_theta": 9}})")
                .config.rope_theta,
            5.0);
  malformed(R"("rope_parameters": {"rope_theta": 5.0})",
            "rope_theta: expected that of rope_parameters, 5E0, found 1E4");
  malformed(R"("rope_scaling": 3)", "rope_scaling: expected an object, found 3");
  malformed(R"("rope_parameters": 3, "rope_scaling": {"type": "default"})",
            "rope_parameters: expected an object, found 3");
  malformed(R"("rope_parameters": {"full_attention": 3})",
            R"(rope_parameters: expected an object, found {"full_attention":3})");
  unsupported(R"("partial_rotary_factor": 0.5)",
              "partial_rotary_factor: RoPE over a part of a head is not supported; found 5E-1");
  good(R"("partial_rotary_factor": 1)");
  unsupported(R"("rope_scaling": {"type": "yarn"})",
              "RoPE scaling: type: RoPE scaling 'yarn' is not supported in a bitnet-b1.58 model");
  unsupported(
      std::string(kOfLlama) + R"(, "rope_scaling": {"rope_type": "yarn", "type": "llama3"})",
      "RoPE scaling: rope_type: RoPE scaling 'yarn' is not supported in a llama model");
  unsupported(R"("rope_scaling": {"type": "llama3"})",
              "RoPE scaling: type: RoPE scaling 'llama3' is not supported in a bitnet-b1.58 model");
}

std::string llama3(const std::string& members = "") {
  return std::string(kOfLlama) + R"(, "rope_scaling": {"rope_type": "llama3", "factor": 8,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 256)" +
         members + "}";
}

// Waves of at most 64 positions stay, those of 256 and more are eight times as long.
TEST(HfDialect, Llama3SlowsLongWavesDown) {
  const HfModel model = good(llama3());
  EXPECT_TRUE(model.config.rope_factors);
  ASSERT_EQ(model.rope_factors.size(), 32u);
  std::set<std::string> kinds;
  for (std::size_t i = 0; i < 32; ++i) {
    const double wave = 2.0 * std::numbers::pi * std::pow(10000.0, static_cast<double>(i) / 32.0);
    double expected = 1.0;
    if (wave >= 256.0) {
      expected = 8.0;
    } else if (wave > 64.0) {
      const double smooth = (256.0 / wave - 1.0) / 3.0;
      expected = 1.0 / ((1.0 - smooth) / 8.0 + smooth);
    }
    kinds.insert(expected == 1.0 ? "short" : expected == 8.0 ? "long" : "between");
    EXPECT_NEAR(model.rope_factors[i], expected, 1e-6 * expected) << i;
  }
  EXPECT_EQ(kinds.size(), 3u);
  EXPECT_TRUE(good(kOfLlama).rope_factors.empty());
}

TEST(HfDialect, Llama3NeedsItsNumbers) {
  for (const char* key :
       {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
    boost::json::object object = parsed(kGood);
    merge(parsed("{" + llama3() + "}"), object);
    object["rope_scaling"].as_object().erase(key);
    const auto model = read_hf_config(object, "c");
    ASSERT_FALSE(model.ok()) << key;
    EXPECT_EQ(model.error().to_string(), std::string("c: RoPE scaling: ") + key +
                                             ": expected a number above zero, found nothing");
  }
  boost::json::object object = parsed(kGood);
  merge(parsed("{" + llama3() + "}"), object);
  object["rope_scaling"].as_object()["high_freq_factor"] = 1.0;
  const auto model = read_hf_config(object, "c");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().to_string(),
            "c: RoPE scaling: high_freq_factor: expected more than low_freq_factor, found 1E0");
}

// "theirs = ours ROWSxCOLUMNS", and what is particular.
std::vector<std::string> lines_of(const HfModel& model) {
  std::vector<std::string> lines;
  for (const HfTensor& tensor : hf_tensors(model)) {
    std::string line = tensor.theirs + " = " + tensor.ours + " " + std::to_string(tensor.rows) +
                       "x" + std::to_string(tensor.columns);
    if (tensor.role == HfRole::kTernary) line += " ternary";
    if (tensor.role == HfRole::kInputNorm) line += " input";
    if (tensor.role == HfRole::kNorm) line += " norm";
    if (tensor.neighbour_head != 0) line += " heads of " + std::to_string(tensor.neighbour_head);
    lines.push_back(line);
  }
  return lines;
}

TEST(HfDialect, TensorsOfBitNet) {
  EXPECT_THAT(
      lines_of(good(R"("num_hidden_layers": 1, "head_dim": 80)")),
      ElementsAre("model.embed_tokens.weight = token_embd.weight 320x256",
                  "model.layers.0.input_layernorm.weight = blk.0.attn_norm.weight 1x256 norm",
                  "model.layers.0.self_attn.q_proj.weight = blk.0.attn_q.weight 320x256 ternary",
                  "model.layers.0.self_attn.k_proj.weight = blk.0.attn_k.weight 160x256 ternary",
                  "model.layers.0.self_attn.v_proj.weight = blk.0.attn_v.weight 160x256 ternary",
                  "model.layers.0.self_attn.attn_sub_norm.weight = blk.0.attn_sub_norm.weight "
                  "1x320 norm",
                  "model.layers.0.self_attn.o_proj.weight = blk.0.attn_output.weight 256x320 "
                  "ternary",
                  "model.layers.0.post_attention_layernorm.weight = blk.0.ffn_norm.weight 1x256 "
                  "norm",
                  "model.layers.0.mlp.gate_proj.weight = blk.0.ffn_gate.weight 640x256 ternary",
                  "model.layers.0.mlp.up_proj.weight = blk.0.ffn_up.weight 640x256 ternary",
                  "model.layers.0.mlp.ffn_sub_norm.weight = blk.0.ffn_sub_norm.weight 1x640 norm",
                  "model.layers.0.mlp.down_proj.weight = blk.0.ffn_down.weight 256x640 ternary",
                  "model.norm.weight = output_norm.weight 1x256 norm",
                  "lm_head.weight = output.weight 320x256"));
  const HfModel tied = good(R"("tie_word_embeddings": true)");
  EXPECT_EQ(lines_of(tied).back(), "model.norm.weight = output_norm.weight 1x256 norm");
  EXPECT_EQ(lines_of(tied).size(), 2u + 2 * 11);
}

TEST(HfDialect, TensorsOfOtherFamilies) {
  EXPECT_THAT(lines_of(good(R"("architectures": ["BitnetForCausalLM"], "hidden_act": "silu",
                               "quantization_config": null)")),
              IsSupersetOf({"model.layers.1.self_attn.inner_attn_ln.weight = "
                            "blk.1.attn_sub_norm.weight 1x256 norm",
                            "model.layers.1.mlp.ffn_layernorm.weight = blk.1.ffn_sub_norm.weight "
                            "1x640 norm"}));
  EXPECT_THAT(lines_of(good(R"("architectures": ["Qwen3ForCausalLM"], "hidden_act": "silu")")),
              IsSupersetOf({"model.layers.0.self_attn.q_norm.weight = blk.0.attn_q_norm.weight "
                            "1x64 norm",
                            "model.layers.0.self_attn.k_norm.weight = blk.0.attn_k_norm.weight "
                            "1x64 norm"}));
  const auto gemma = lines_of(good(kOfGemma));
  EXPECT_EQ(gemma.size(), 2u + 2 * 13);
  EXPECT_THAT(gemma, IsSupersetOf({"model.layers.0.post_attention_layernorm.weight = "
                                   "blk.0.post_attention_norm.weight 1x256 norm",
                                   "model.layers.0.pre_feedforward_layernorm.weight = "
                                   "blk.0.ffn_norm.weight 1x256 norm",
                                   "model.layers.0.post_feedforward_layernorm.weight = "
                                   "blk.0.post_ffw_norm.weight 1x256 norm"}));
}

// RoPE's pairs become neighbours in queries and keys, and there alone.
TEST(HfDialect, HeadsWhosePairsBecomeNeighbours) {
  std::size_t turned = 0;
  for (const std::string& line : lines_of(good(kOfLlama))) {
    const bool expected = line.find("q_proj") != line.npos || line.find("k_proj") != line.npos;
    EXPECT_EQ(line.ends_with(" heads of 64"), expected) << line;
    turned += expected ? 1 : 0;
  }
  EXPECT_EQ(turned, 4u);
}

TEST(HfDialect, NormsBeforeLinearsHaveTensors) {
  const auto lines =
      lines_of(good(R"("num_hidden_layers": 1, "quantization_config": {"use_rms_norm": true,
              "rms_norm_eps": 1e-5})"));
  EXPECT_EQ(lines.size(), 14u + 7);
  EXPECT_THAT(lines, IsSupersetOf({"model.layers.0.self_attn.q_proj.rms_norm.weight = "
                                   "blk.0.attn_q_norm_in.weight 1x256 input",
                                   "model.layers.0.self_attn.o_proj.rms_norm.weight = "
                                   "blk.0.attn_output_norm_in.weight 1x256 input",
                                   "model.layers.0.mlp.down_proj.rms_norm.weight = "
                                   "blk.0.ffn_down_norm_in.weight 1x640 input"}));
}

TEST(HfDialect, NamesBesideTheTensors) {
  EXPECT_EQ(hf_scale_name("a.weight"), "a.weight_scale");
  EXPECT_TRUE(is_derived_hf_tensor("model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(is_derived_hf_tensor("model.layers.0.self_attn.q_proj.weight"));
}

}  // namespace
}  // namespace tern::arch
