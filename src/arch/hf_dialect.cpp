#include "arch/hf_dialect.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <span>
#include <utility>

#include "arch/gguf_dialect.h"
#include "arch/hf_families.h"
#include "arch/hf_rope.h"
#include "arch/json_settings.h"
#include "format/gguf/gguf_text.h"

namespace tern::arch {
namespace {

namespace json = boost::json;
using format::in_quotes;

// Settings that are read, here or by the tokenizer's part, and settings that change no result.
constexpr std::array<std::string_view, 55> kKnownSettings{"architectures",
                                                          "model_type",
                                                          "hidden_act",
                                                          "hidden_activation",
                                                          "hidden_size",
                                                          "intermediate_size",
                                                          "num_hidden_layers",
                                                          "num_attention_heads",
                                                          "num_key_value_heads",
                                                          "head_dim",
                                                          "vocab_size",
                                                          "max_position_embeddings",
                                                          "rms_norm_eps",
                                                          "rope_theta",
                                                          "rope_scaling",
                                                          "rope_parameters",
                                                          "rope_local_base_freq",
                                                          "tie_word_embeddings",
                                                          "quantization_config",
                                                          "layer_types",
                                                          "sliding_window",
                                                          "use_sliding_window",
                                                          "max_window_layers",
                                                          "query_pre_attn_scalar",
                                                          "bos_token_id",
                                                          "eos_token_id",
                                                          "pad_token_id",
                                                          "attention_dropout",
                                                          "hidden_dropout",
                                                          "initializer_range",
                                                          "pretraining_tp",
                                                          "use_cache",
                                                          "torch_dtype",
                                                          "dtype",
                                                          "transformers_version",
                                                          "_name_or_path",
                                                          "auto_map",
                                                          "weight_bits",
                                                          "input_bits",
                                                          "cache_implementation",
                                                          "sliding_window_pattern",
                                                          "_sliding_window_pattern",
                                                          "name_or_path",
                                                          "unsloth_version",
                                                          "unsloth_fixed",
                                                          "is_bitnet_config",
                                                          "attn_implementation",
                                                          "_attn_implementation",
                                                          "_attn_implementation_autoset",
                                                          "partial_rotary_factor",
                                                          "return_dict",
                                                          "task_specific_params",
                                                          "id2label",
                                                          "label2id",
                                                          "chunk_size_feed_forward"};

constexpr std::uint64_t kMostWidth = 1u << 17;
constexpr std::uint64_t kMostLayers = 1024;
constexpr std::uint64_t kMostVocab = 1u << 24;

Result<std::string> model_class(const JsonSettings& settings) {
  const json::value* value = settings.find("architectures");
  const json::array* names = value == nullptr ? nullptr : value->if_array();
  if (names == nullptr || names->size() != 1 || !names->front().is_string()) {
    return settings.malformed(
        "architectures", "expected a list of one class, found " + settings.shown("architectures"));
  }
  return std::string(names->front().get_string().data(), names->front().get_string().size());
}

Result<const HfFamily*> find_family(const JsonSettings& settings) {
  TERN_ASSIGN(const std::string wanted, model_class(settings));
  const std::string key =
      settings.find("hidden_activation") != nullptr ? "hidden_activation" : "hidden_act";
  std::string known;
  bool known_class = false;
  for (const HfFamily& family : kHfFamilies) {
    known += (known.empty() ? "" : ", ") + std::string(family.model_class) + " with " +
             std::string(family.activation);
    known_class = known_class || family.model_class == wanted;
  }
  if (!known_class) {
    return settings.unsupported(
        "architectures", "unknown class " + in_quotes(wanted) + "; this version converts " + known);
  }
  TERN_ASSIGN(const std::string activation, settings.text(key));
  for (const HfFamily& family : kHfFamilies) {
    if (family.model_class == wanted && family.activation == activation) return &family;
  }
  return settings.unsupported(key, "the activation " + in_quotes(activation) +
                                       " is not known of the class; this version converts " +
                                       known);
}

// Null, false, 0, "", [] and {} switch a feature off.
bool is_off(const json::value& value) {
  if (value.is_null()) return true;
  if (const bool* flag = value.if_bool()) return !*flag;
  if (const std::int64_t* number = value.if_int64()) return *number == 0;
  if (const double* number = value.if_double()) return *number == 0.0;
  if (const json::string* text = value.if_string()) return text->empty();
  if (const json::array* list = value.if_array()) return list->empty();
  if (const json::object* object = value.if_object()) return object->empty();
  return false;
}

Result<void> refuse_unknown(const JsonSettings& settings, std::span<const std::string_view> known) {
  for (const auto& member : settings.object()) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::ranges::find(known, key) != known.end() || is_off(member.value())) continue;
    return settings.unsupported(key,
                                "the setting is not understood, and it may change what the "
                                "model computes; found " +
                                    settings.shown(key));
  }
  return {};
}

Result<void> read_shape(const JsonSettings& settings, DecoderConfig& config) {
  TERN_ASSIGN(config.layers, settings.count("num_hidden_layers", kMostLayers));
  TERN_ASSIGN(config.hidden, settings.count("hidden_size", kMostWidth));
  TERN_ASSIGN(config.ffn, settings.count("intermediate_size", kMostWidth));
  TERN_ASSIGN(config.heads, settings.count("num_attention_heads", kMostWidth));
  TERN_ASSIGN(config.kv_heads, settings.count_or("num_key_value_heads", config.heads, kMostWidth));
  TERN_ASSIGN(config.vocab, settings.count("vocab_size", kMostVocab));
  TERN_ASSIGN(config.context, settings.count("max_position_embeddings", kMostVocab));
  if (settings.find("head_dim") == nullptr && config.hidden % config.heads != 0) {
    return settings.malformed("num_attention_heads", "expected a divisor of hidden_size " +
                                                         std::to_string(config.hidden) +
                                                         ", found " + std::to_string(config.heads));
  }
  TERN_ASSIGN(config.head_dim,
              settings.count_or("head_dim", config.hidden / config.heads, kMostWidth));
  if (config.heads % config.kv_heads != 0) {
    return settings.malformed("num_key_value_heads", "expected a divisor of num_attention_heads " +
                                                         std::to_string(config.heads) + ", found " +
                                                         std::to_string(config.kv_heads));
  }
  if (config.head_dim % 2 != 0) {
    return settings.malformed(
        "head_dim", "RoPE needs an even head size, found " + std::to_string(config.head_dim));
  }
  TERN_ASSIGN(const double epsilon, settings.number("rms_norm_eps"));
  config.norm_epsilon = static_cast<float>(epsilon);
  return {};
}

// Attention to a part of the past is refused however it is said.
Result<void> refuse_windows(const JsonSettings& settings, const DecoderConfig& config) {
  const json::value* value = settings.find("layer_types");
  const json::array* types = value == nullptr ? nullptr : value->if_array();
  if (types != nullptr) {
    for (const json::value& type : *types) {
      if (type.is_string() && type.get_string() == "full_attention") continue;
      return settings.unsupported("layer_types",
                                  "expected full_attention alone, found " + json::serialize(type));
    }
    return {};
  }
  if (config.architecture == "gemma3") {
    return settings.unsupported("layer_types",
                                "expected a list of full_attention, found nothing: without it "
                                "Gemma 3 slides windows, which is not supported");
  }
  TERN_ASSIGN(const bool uses, settings.flag_or("use_sliding_window", true));
  if (settings.find("sliding_window") != nullptr && uses) {
    return settings.unsupported("sliding_window", "sliding-window attention is not supported");
  }
  return {};
}

Result<HfWeights> read_quantisation(const JsonSettings& q, const DecoderConfig& config,
                                    bool& input_norms) {
  constexpr std::array<std::string_view, 6> kKnown{"quant_method",      "linear_class",
                                                   "quantization_mode", "modules_to_not_convert",
                                                   "use_rms_norm",      "rms_norm_eps"};
  TERN_ASSIGN(const std::string method, q.text("quant_method"));
  if (method != "bitnet") {
    return q.unsupported("quant_method", "expected 'bitnet', found " + in_quotes(method));
  }
  TERN_TRY(refuse_unknown(q, kKnown));
  if (const json::value* value = q.find("modules_to_not_convert")) {
    const json::array* modules = value->if_array();
    const bool heads_alone =
        modules != nullptr && std::ranges::all_of(*modules, [](const json::value& module) {
          return module.is_string() && module.get_string() == "lm_head";
        });
    if (!heads_alone) {
      return q.unsupported("modules_to_not_convert",
                           "expected lm_head alone, found " + q.shown("modules_to_not_convert"));
    }
  }
  TERN_ASSIGN(input_norms, q.flag_or("use_rms_norm", false));
  TERN_ASSIGN(const double epsilon, q.number_or("rms_norm_eps", 1e-6));
  if (input_norms && static_cast<float>(epsilon) != config.norm_epsilon) {
    return q.unsupported("rms_norm_eps", "expected that of the model's other norms, " +
                                             std::to_string(config.norm_epsilon) + ", found " +
                                             std::to_string(epsilon));
  }
  TERN_ASSIGN(const std::string linear, q.text_or("linear_class", "bitlinear"));
  TERN_ASSIGN(const std::string mode, q.text_or("quantization_mode", "offline"));
  if (linear != "bitlinear" && linear != "autobitlinear") {
    return q.unsupported("linear_class",
                         "expected 'bitlinear' or 'autobitlinear', found " + in_quotes(linear));
  }
  if (mode != "offline" && mode != "online") {
    return q.unsupported("quantization_mode",
                         "expected 'offline' or 'online', found " + in_quotes(mode));
  }
  if (mode == "online" && linear != "autobitlinear") {
    return q.unsupported("quantization_mode",
                         "'online' goes with linear_class 'autobitlinear', "
                         "found 'bitlinear'");
  }
  if (mode == "online") return HfWeights::kOnline;
  return linear == "bitlinear" ? HfWeights::kPackedDivide : HfWeights::kPackedMultiply;
}

// The name of a norm in the checkpoint, without "model.layers.N." and ".weight".
std::string_view norm_name(BlockTensor role, const DecoderConfig& config, bool old_names) {
  using enum BlockTensor;
  switch (role) {
    case kAttentionNorm: return "input_layernorm";
    case kFfnNorm:
      return config.norms.post_ffn ? "pre_feedforward_layernorm" : "post_attention_layernorm";
    case kAttentionSubNorm:
      return old_names ? "self_attn.inner_attn_ln" : "self_attn.attn_sub_norm";
    case kFfnSubNorm: return old_names ? "mlp.ffn_layernorm" : "mlp.ffn_sub_norm";
    case kQueryNorm: return "self_attn.q_norm";
    case kKeyNorm: return "self_attn.k_norm";
    case kPostAttentionNorm: return "post_attention_layernorm";
    default: return "post_feedforward_layernorm";
  }
}

class TensorLister {
 public:
  explicit TensorLister(const HfModel& model) : model_(model), config_(model.config) {}

  std::vector<HfTensor> list() {
    add(HfRole::kMatrix, "model.embed_tokens", kTokenEmbedding, config_.vocab, config_.hidden);
    for (layer_ = 0; layer_ < config_.layers; ++layer_) block();
    add(HfRole::kNorm, "model.norm", kOutputNorm, 1, config_.hidden);
    if (!config_.tied_embedding) {
      add(HfRole::kMatrix, "lm_head", kOutput, config_.vocab, config_.hidden);
    }
    return std::move(tensors_);
  }

 private:
  void block() {
    using enum BlockTensor;
    const BlockNorms& norms = config_.norms;
    const std::uint32_t query = config_.query_width();
    norm(kAttentionNorm, config_.hidden);
    linear("self_attn.q_proj", kQuery, kQueryInputNorm, query, config_.hidden);
    linear("self_attn.k_proj", kKey, kKeyInputNorm, config_.kv_width(), config_.hidden);
    linear("self_attn.v_proj", kValue, kValueInputNorm, config_.kv_width(), config_.hidden);
    if (norms.query_key) norm(kQueryNorm, config_.head_dim);
    if (norms.query_key) norm(kKeyNorm, config_.head_dim);
    if (norms.attention_sub) norm(kAttentionSubNorm, query);
    linear("self_attn.o_proj", kAttentionOutput, kAttentionOutputInputNorm, config_.hidden, query);
    if (norms.post_attention) norm(kPostAttentionNorm, config_.hidden);
    norm(kFfnNorm, config_.hidden);
    linear("mlp.gate_proj", kGate, kGateInputNorm, config_.ffn, config_.hidden);
    linear("mlp.up_proj", kUp, kUpInputNorm, config_.ffn, config_.hidden);
    if (norms.ffn_sub) norm(kFfnSubNorm, config_.ffn);
    linear("mlp.down_proj", kDown, kDownInputNorm, config_.hidden, config_.ffn);
    if (norms.post_ffn) norm(kPostFfnNorm, config_.hidden);
  }

  std::string in_layer(std::string_view name) const {
    return "model.layers." + std::to_string(layer_) + "." + std::string(name);
  }

  void norm(BlockTensor role, std::uint64_t width) {
    add(HfRole::kNorm, in_layer(norm_name(role, config_, model_.old_norm_names)),
        block_tensor_name(layer_, role), 1, width);
  }

  void linear(std::string_view name, BlockTensor role, BlockTensor input_norm, std::uint64_t rows,
              std::uint64_t columns) {
    add(HfRole::kTernary, in_layer(name), block_tensor_name(layer_, role), rows, columns);
    const bool turns = role == BlockTensor::kQuery || role == BlockTensor::kKey;
    if (turns && config_.rope_pairing == RopePairing::kNeighbours) {
      tensors_.back().neighbour_head = config_.head_dim;
    }
    if (!config_.norms.projection_input) return;
    add(HfRole::kInputNorm, in_layer(name) + ".rms_norm", block_tensor_name(layer_, input_norm), 1,
        columns);
  }

  void add(HfRole role, std::string_view theirs, std::string_view ours, std::uint64_t rows,
           std::uint64_t columns) {
    tensors_.push_back({std::string(theirs) + ".weight", std::string(ours), role, rows, columns});
  }

  const HfModel& model_;
  const DecoderConfig& config_;
  std::uint32_t layer_ = 0;
  std::vector<HfTensor> tensors_;
};

}  // namespace

Result<HfModel> read_hf_config(const json::object& object, const std::string& source) {
  const JsonSettings settings(object, source);
  TERN_ASSIGN(const HfFamily* family, find_family(settings));
  HfModel model;
  model.config = family_config(family->architecture);
  DecoderConfig& config = model.config;
  TERN_TRY(refuse_unknown(settings, kKnownSettings));
  TERN_TRY(read_shape(settings, config));
  TERN_TRY(refuse_windows(settings, config));
  TERN_TRY(read_hf_rope(settings, config, model.rope_factors));
  TERN_ASSIGN(const double scalar, settings.number_or("query_pre_attn_scalar", config.head_dim));
  if (scalar != config.head_dim) {
    return settings.unsupported("query_pre_attn_scalar",
                                "expected the head size " + std::to_string(config.head_dim) +
                                    ", found " + settings.shown("query_pre_attn_scalar"));
  }
  TERN_ASSIGN(config.tied_embedding,
              settings.flag_or("tie_word_embeddings", family->ties_by_default));
  model.gain_offset = family->gain_offset;
  model.old_norm_names = family->always_online;
  model.weights = family->always_online ? HfWeights::kOnline : HfWeights::kTernaryFloats;
  if (const json::value* q = settings.find("quantization_config")) {
    if (!q->is_object() || family->always_online) {
      return settings.unsupported("quantization_config",
                                  "expected an object, in a class that knows it; found " +
                                      settings.shown("quantization_config"));
    }
    const JsonSettings quantisation(q->get_object(), source + ": quantization_config");
    TERN_ASSIGN(model.weights,
                read_quantisation(quantisation, config, config.norms.projection_input));
  }
  return model;
}

std::vector<HfTensor> hf_tensors(const HfModel& model) { return TensorLister(model).list(); }

std::string hf_scale_name(std::string_view weight) { return std::string(weight) + "_scale"; }

bool is_derived_hf_tensor(std::string_view name) { return name.ends_with(".rotary_emb.inv_freq"); }

}  // namespace tern::arch
