#include "arch/gguf_dialect.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

namespace tern::arch {
namespace {

using format::GgufFile;

// What the architecture string alone says. Sources: the GGUF files of the families and HF's
// configuration classes.
struct Family {
  std::string_view architecture;
  Activation activation;
};
constexpr std::array kFamilies{
    Family{"bitnet-b1.58", Activation::kSquaredRelu},
    Family{"bitnet-25", Activation::kSquaredRelu},
    Family{"bitnet", Activation::kSilu},
};

// Ternary models of these families exist; Tern knows them by name and does not run them yet.
constexpr std::array<std::string_view, 5> kKnownButUnsupported{"llama", "falcon", "falcon3",
                                                               "qwen3", "gemma3"};

constexpr std::uint64_t kMaxLayers = 1024;
constexpr std::uint64_t kMaxWidth = 1u << 17;  // |acc| <= 127 * width stays below 2^24
constexpr std::uint64_t kMaxHeadDim = 512;
constexpr std::uint64_t kMaxVocab = 1u << 24;
constexpr std::uint64_t kMaxContext = 1u << 24;

Error malformed(const GgufFile& file, const std::string& key, const std::string& message) {
  return Error{ErrorCode::kMalformed, message, file.source() + ": " + key};
}

Error unsupported(const GgufFile& file, const std::string& key, const std::string& message) {
  return Error{ErrorCode::kUnsupported, message, file.source() + ": " + key};
}

Result<const Family*> find_family(const GgufFile& file, std::string_view architecture) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.architecture == architecture) return &family;
    known += known.empty() ? "" : ", ";
    known += family.architecture;
  }
  const std::string name = "'" + std::string(architecture) + "'";
  const std::string remedy = "; this version runs " + known;
  for (const std::string_view other : kKnownButUnsupported) {
    if (other == architecture) {
      return unsupported(file, "general.architecture",
                         "the family " + name + " is not supported yet" + remedy);
    }
  }
  return unsupported(file, "general.architecture", "unknown architecture " + name + remedy);
}

// Reads the keys of one architecture; each look-up checks its range.
class KeyReader {
 public:
  KeyReader(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  std::string key(std::string_view suffix) const { return prefix_ + std::string(suffix); }

  Result<std::uint32_t> count(std::string_view suffix, std::uint64_t most) const {
    TERN_ASSIGN(const std::uint64_t value, file_.get_uint(key(suffix)));
    return checked(suffix, value, most);
  }
  Result<std::uint32_t> count_or(std::string_view suffix, std::uint64_t fallback,
                                 std::uint64_t most) const {
    TERN_ASSIGN(const std::uint64_t value, file_.get_uint_or(key(suffix), fallback));
    return checked(suffix, value, most);
  }
  Result<double> positive(std::string_view suffix, double most) const {
    TERN_ASSIGN(const double value, file_.get_float(key(suffix)));
    if (value > 0.0 && value <= most) return value;
    return malformed(file_, key(suffix),
                     "expected a positive number up to " + std::to_string(most) + ", found " +
                         std::to_string(value));
  }

 private:
  Result<std::uint32_t> checked(std::string_view suffix, std::uint64_t value,
                                std::uint64_t most) const {
    if (value >= 1 && value <= most) return static_cast<std::uint32_t>(value);
    return malformed(file_, key(suffix),
                     "expected 1 to " + std::to_string(most) + ", found " + std::to_string(value));
  }

  const GgufFile& file_;
  std::string prefix_;
};

Result<void> read_shape(const GgufFile& file, const KeyReader& keys, DecoderConfig& config) {
  TERN_ASSIGN(config.layers, keys.count("block_count", kMaxLayers));
  TERN_ASSIGN(config.hidden, keys.count("embedding_length", kMaxWidth));
  TERN_ASSIGN(config.ffn, keys.count("feed_forward_length", kMaxWidth));
  TERN_ASSIGN(config.heads, keys.count("attention.head_count", kMaxWidth));
  TERN_ASSIGN(config.kv_heads, keys.count_or("attention.head_count_kv", config.heads, kMaxWidth));
  TERN_ASSIGN(config.context, keys.count("context_length", kMaxContext));
  TERN_ASSIGN(config.head_dim,
              keys.count_or("attention.key_length", std::max(1u, config.hidden / config.heads),
                            kMaxHeadDim));
  TERN_ASSIGN(const double epsilon, keys.positive("attention.layer_norm_rms_epsilon", 1.0));
  config.norm_epsilon = static_cast<float>(epsilon);
  TERN_ASSIGN(config.rope_theta, keys.positive("rope.freq_base", 1e12));
  if (config.rope_theta < 1.0) {
    return malformed(file, keys.key("rope.freq_base"),
                     "expected at least 1, found " + std::to_string(config.rope_theta));
  }
  return {};
}

Result<void> check_heads(const GgufFile& file, const KeyReader& keys, const DecoderConfig& config) {
  if (config.heads % config.kv_heads != 0) {
    return malformed(file, keys.key("attention.head_count_kv"),
                     "expected a divisor of the " + std::to_string(config.heads) +
                         " query heads, found " + std::to_string(config.kv_heads));
  }
  if (file.find(keys.key("attention.key_length")) == nullptr && config.hidden % config.heads != 0) {
    return malformed(file, keys.key("attention.head_count"),
                     "expected a divisor of the hidden size " + std::to_string(config.hidden) +
                         ", found " + std::to_string(config.heads));
  }
  if (config.head_dim % 2 != 0) {
    return malformed(file, keys.key("attention.head_count"),
                     "RoPE needs an even head dimension, found " + std::to_string(config.head_dim));
  }
  if (config.query_width() > kMaxWidth) {
    return malformed(file, keys.key("attention.head_count"),
                     "heads times head dimension is " + std::to_string(config.query_width()) +
                         ", expected at most " + std::to_string(kMaxWidth));
  }
  TERN_ASSIGN(const std::uint64_t value_length,
              file.get_uint_or(keys.key("attention.value_length"), config.head_dim));
  if (value_length != config.head_dim) {
    return unsupported(file, keys.key("attention.value_length"),
                       "expected the key length " + std::to_string(config.head_dim) + ", found " +
                           std::to_string(value_length));
  }
  return {};
}

Result<void> check_rope(const GgufFile& file, const KeyReader& keys, const DecoderConfig& config) {
  TERN_ASSIGN(const std::uint64_t dimensions,
              file.get_uint_or(keys.key("rope.dimension_count"), config.head_dim));
  if (dimensions != config.head_dim) {
    return unsupported(file, keys.key("rope.dimension_count"),
                       "expected the head dimension " + std::to_string(config.head_dim) +
                           " (RoPE over a part of a head is not supported), found " +
                           std::to_string(dimensions));
  }
  // A factor without a type scales linearly.
  TERN_ASSIGN(const std::string_view scaling,
              file.get_string_or(keys.key("rope.scaling.type"), "linear"));
  TERN_ASSIGN(const double factor, file.get_float_or(keys.key("rope.scaling.factor"), 1.0));
  if (scaling != "none" && !(scaling == "linear" && factor == 1.0)) {
    return unsupported(file, keys.key("rope.scaling.type"),
                       "RoPE scaling '" + std::string(scaling) + "' is not supported");
  }
  return {};
}

Result<void> read_vocab(const GgufFile& file, const KeyReader& keys, DecoderConfig& config) {
  const format::Tensor* embedding = file.tensor(kTokenEmbedding);
  if (embedding == nullptr) {
    return malformed(file, std::string(kTokenEmbedding),
                     "the tensor is missing; this file holds no model (a vocabulary only?)");
  }
  TERN_ASSIGN(config.vocab, keys.count_or("vocab_size", embedding->rows(), kMaxVocab));
  if (embedding->rows() != config.vocab || embedding->columns() != config.hidden) {
    return malformed(file, std::string(kTokenEmbedding),
                     "expected shape [" + std::to_string(config.hidden) + ", " +
                         std::to_string(config.vocab) + "], found [" +
                         std::to_string(embedding->columns()) + ", " +
                         std::to_string(embedding->rows()) + "]");
  }
  config.tied_embedding = file.tensor(kOutput) == nullptr;
  return {};
}

// Every key of the architecture must be one that is read: another may change the arithmetic. A zero
// switches its feature off.
Result<void> check_known_keys(const GgufFile& file, const KeyReader& keys) {
  constexpr std::array<std::string_view, 14> kRead{"block_count",
                                                   "context_length",
                                                   "embedding_length",
                                                   "feed_forward_length",
                                                   "attention.head_count",
                                                   "attention.head_count_kv",
                                                   "attention.key_length",
                                                   "attention.value_length",
                                                   "attention.layer_norm_rms_epsilon",
                                                   "rope.freq_base",
                                                   "rope.dimension_count",
                                                   "rope.scaling.type",
                                                   "rope.scaling.factor",
                                                   "vocab_size"};
  const std::string prefix = keys.key("");
  for (const std::string_view key : file.keys()) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view suffix = key.substr(prefix.size());
    if (std::find(kRead.begin(), kRead.end(), suffix) != kRead.end()) continue;
    const auto* number = std::get_if<std::uint64_t>(file.find(key));
    if (number != nullptr && *number == 0) continue;
    return unsupported(file, std::string(key),
                       "the key is not understood, and it may change what the model computes");
  }
  return {};
}

// Whether the model of `config` reads the tensor, or its loader judges it.
bool has_a_place(std::string_view name, const std::set<std::string, std::less<>>& block_names) {
  return name == kTokenEmbedding || name == kOutputNorm || name == kOutput ||
         block_names.contains(name);
}

// Names of all blocks' tensors, and of the scales that may stand beside the ternary ones.
std::set<std::string, std::less<>> block_tensor_names(std::uint32_t layers) {
  using enum BlockTensor;
  std::set<std::string, std::less<>> names;
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    for (const auto role : {kAttentionNorm, kAttentionSubNorm, kFfnNorm, kFfnSubNorm}) {
      names.insert(block_tensor_name(layer, role));
    }
    for (const auto role : {kQuery, kKey, kValue, kAttentionOutput, kGate, kUp, kDown}) {
      std::string name = block_tensor_name(layer, role);
      names.insert(name.substr(0, name.rfind('.')) + ".scale");
      names.insert(std::move(name));
    }
  }
  return names;
}

// Every tensor must have a place in the block: one that is passed over may have changed the
// arithmetic without a key that says so.
Result<void> check_known_tensors(const GgufFile& file, const DecoderConfig& config) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kForeign{{
      {".attn_q_norm.", "query and key norms"},
      {".attn_k_norm.", "query and key norms"},
      {"_norm_in.", "per-projection input norms"},
      {".post_attention_norm.", "post-attention norms"},
      {".post_ffw_norm.", "post-FFN norms"},
      {"_exps.", "a mixture of experts"},
      {"rope_freqs.", "RoPE factors"},
  }};
  const auto block_names = block_tensor_names(config.layers);
  for (const format::Tensor& tensor : file.tensors()) {
    for (const auto& [part, meaning] : kForeign) {
      if (tensor.name.find(part) == std::string::npos) continue;
      return unsupported(file, tensor.name,
                         "the model has " + std::string(meaning) + ", which is not supported yet");
    }
    if (tensor.name.ends_with(".bias")) {
      return unsupported(file, tensor.name, "biases are not supported");
    }
    if (!has_a_place(tensor.name, block_names)) {
      return unsupported(file, tensor.name,
                         "the tensor has no place in a " + config.architecture + " model of " +
                             std::to_string(config.layers) + " blocks");
    }
  }
  for (const std::string_view key : file.keys()) {
    if (key.starts_with("prism.hadamard.")) {
      return unsupported(file, std::string(key), "Hadamard-folded weights are not supported");
    }
  }
  return {};
}

}  // namespace

Result<DecoderConfig> read_decoder_config(const GgufFile& file) {
  DecoderConfig config;
  TERN_ASSIGN(const std::string_view architecture, file.get_string("general.architecture"));
  TERN_ASSIGN(const Family* family, find_family(file, architecture));
  TERN_ASSIGN(const std::string_view model_name, file.get_string_or("general.name", ""));
  config.architecture = architecture;
  config.name = model_name;
  config.activation = family->activation;
  config.norms.attention_sub = true;
  config.norms.ffn_sub = true;
  const KeyReader keys(file, architecture);
  TERN_TRY(check_known_keys(file, keys));
  TERN_TRY(read_shape(file, keys, config));
  TERN_TRY(check_heads(file, keys, config));
  TERN_TRY(check_rope(file, keys, config));
  TERN_TRY(read_vocab(file, keys, config));
  TERN_TRY(check_known_tensors(file, config));
  return config;
}

void write_decoder_config(const DecoderConfig& config, format::GgufWriter& writer) {
  const auto set = [&](std::string_view suffix, format::GgufWriterValue value) {
    writer.set(config.architecture + "." + std::string(suffix), std::move(value));
  };
  writer.set("general.architecture", config.architecture);
  if (!config.name.empty()) writer.set("general.name", config.name);
  set("block_count", config.layers);
  set("context_length", config.context);
  set("embedding_length", config.hidden);
  set("feed_forward_length", config.ffn);
  set("attention.head_count", config.heads);
  set("attention.head_count_kv", config.kv_heads);
  if (config.query_width() != config.hidden) set("attention.key_length", config.head_dim);
  set("attention.layer_norm_rms_epsilon", config.norm_epsilon);
  set("rope.freq_base", static_cast<float>(config.rope_theta));
  set("rope.dimension_count", config.head_dim);
  set("vocab_size", config.vocab);
}

std::string block_tensor_name(std::uint32_t layer, BlockTensor tensor) {
  constexpr std::array<std::string_view, 11> kNames{
      "attn_norm", "attn_q",   "attn_k", "attn_v",       "attn_sub_norm", "attn_output",
      "ffn_norm",  "ffn_gate", "ffn_up", "ffn_sub_norm", "ffn_down"};
  return "blk." + std::to_string(layer) + "." +
         std::string(kNames[static_cast<std::size_t>(tensor)]) + ".weight";
}

}  // namespace tern::arch
