#include "arch/gguf_dialect.h"

#include <algorithm>
#include <array>
#include <cmath>
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
  RopePairing rope_pairing;
  BlockNorms norms;
  bool may_have_rope_factors = false;
  bool scaled_embedding = false;  // by the root of the hidden size
};
constexpr BlockNorms kSubNorms{.attention_sub = true, .ffn_sub = true};
constexpr std::array kFamilies{
    Family{"bitnet-b1.58", Activation::kSquaredRelu, RopePairing::kHalves, kSubNorms},
    Family{"bitnet-25", Activation::kSquaredRelu, RopePairing::kHalves, kSubNorms},
    Family{"bitnet", Activation::kSilu, RopePairing::kHalves, kSubNorms},
    // Converters reorder the rows of queries and keys of this one, so that pairs are neighbours.
    Family{.architecture = "llama",
           .activation = Activation::kSilu,
           .rope_pairing = RopePairing::kNeighbours,
           .norms = {},
           .may_have_rope_factors = true},
    Family{"qwen3", Activation::kSilu, RopePairing::kHalves, {.query_key = true}},
    Family{.architecture = "gemma3",
           .activation = Activation::kGelu,
           .rope_pairing = RopePairing::kHalves,
           .norms =
               {.query_key = true, .post_attention = true, .post_ffn = true, .offset_gains = true},
           .scaled_embedding = true},
};

// Ternary models of these families exist. What they have that Tern does not run:
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kKnownButUnsupported{{
    {"maple", "a mixture of experts"},
    {"qwen35", "linear attention"},
    {"falcon-h1", "state space layers"},
}};

// In the order of BlockTensor.
constexpr std::array<std::string_view, 22> kBlockTensorNames{"attn_norm",
                                                             "attn_q",
                                                             "attn_k",
                                                             "attn_v",
                                                             "attn_sub_norm",
                                                             "attn_output",
                                                             "ffn_norm",
                                                             "ffn_gate",
                                                             "ffn_up",
                                                             "ffn_sub_norm",
                                                             "ffn_down",
                                                             "attn_q_norm",
                                                             "attn_k_norm",
                                                             "attn_q_norm_in",
                                                             "attn_k_norm_in",
                                                             "attn_v_norm_in",
                                                             "attn_output_norm_in",
                                                             "ffn_gate_norm_in",
                                                             "ffn_up_norm_in",
                                                             "ffn_down_norm_in",
                                                             "post_attention_norm",
                                                             "post_ffw_norm"};

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
  for (const auto& [other, feature] : kKnownButUnsupported) {
    if (other != architecture) continue;
    return unsupported(
        file, "general.architecture",
        "the family " + name + " has " + std::string(feature) + " and is not supported" + remedy);
  }
  return unsupported(file, "general.architecture", "unknown architecture " + name + remedy);
}

DecoderConfig config_of(const Family& family) {
  DecoderConfig config;
  config.architecture = family.architecture;
  config.activation = family.activation;
  config.rope_pairing = family.rope_pairing;
  config.norms = family.norms;
  return config;
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

// In the order of the key's values from 1 on; 0 is none, as if the key were missing.
constexpr std::array kPoolings{Pooling::kMean, Pooling::kCls, Pooling::kLast};
constexpr std::uint64_t kRanking = 4;

Result<std::optional<Pooling>> read_pooling(const GgufFile& file, const KeyReader& keys) {
  const std::string key = keys.key("pooling_type");
  TERN_ASSIGN(const std::uint64_t value, file.get_uint_or(key, 0));
  if (value == 0) return std::optional<Pooling>();
  if (value <= kPoolings.size()) return std::optional(kPoolings[value - 1]);
  if (value == kRanking) {
    return unsupported(file, key, "the model ranks texts (pooling type 4), which is not supported");
  }
  return malformed(
      file, key,
      "expected 0 (none), 1 (mean), 2 (cls), 3 (last) or 4 (rank), found " + std::to_string(value));
}

// No key of gemma3 tells it: of its sizes, the one of 62 layers alone scales queries by another
// width than that of a head.
std::optional<float> query_scale(const DecoderConfig& config) {
  constexpr std::uint32_t kLayersOf27B = 62;
  if (config.architecture != "gemma3" || config.layers != kLayersOf27B) return std::nullopt;
  return 1.0f / std::sqrt(static_cast<float>(config.hidden / config.heads));
}

// Why a key that is not read is an error.
std::string meaning_of(std::string_view suffix) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kForeign{{
      {"expert", "a mixture of experts"},
      {"attention.sliding_window", "sliding-window attention"},
      {"attention.causal", "attention to later tokens"},
      {"attn_logit_softcapping", "soft-capped attention scores"},
      {"final_logit_softcapping", "soft-capped logits"},
  }};
  for (const auto& [start, meaning] : kForeign) {
    if (!suffix.starts_with(start)) continue;
    return "the model has " + std::string(meaning) + ", which is not supported";
  }
  return "the key is not understood, and it may change what the model computes";
}

// Every key of the architecture must be one that is read: another may change the arithmetic. A zero
// switches its feature off.
Result<void> check_known_keys(const GgufFile& file, const KeyReader& keys) {
  constexpr std::array<std::string_view, 15> kRead{"block_count",
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
                                                   "vocab_size",
                                                   "pooling_type"};
  const std::string prefix = keys.key("");
  for (const std::string_view key : file.keys()) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view suffix = key.substr(prefix.size());
    if (std::find(kRead.begin(), kRead.end(), suffix) != kRead.end()) continue;
    const auto* number = std::get_if<std::uint64_t>(file.find(key));
    const auto* flag = std::get_if<bool>(file.find(key));
    // Zero turns a feature off, but whether attention is causal is none.
    const bool harmless =
        suffix == "attention.causal" ? flag != nullptr && *flag : number != nullptr && *number == 0;
    if (harmless) continue;
    return unsupported(file, std::string(key), meaning_of(suffix));
  }
  return {};
}

// The rotation that such weights expect of their inputs is part of no other key.
Result<void> refuse_hadamard(const GgufFile& file) {
  for (const std::string_view key : file.keys()) {
    if (key.starts_with("prism.hadamard.")) {
      return unsupported(file, std::string(key),
                         "Hadamard-folded weights (Ternary-Bonsai) are not supported");
    }
  }
  return {};
}

bool has_norm(const BlockNorms& norms, BlockTensor role) {
  using enum BlockTensor;
  switch (role) {
    case kAttentionNorm:
    case kFfnNorm: return true;
    case kAttentionSubNorm: return norms.attention_sub;
    case kFfnSubNorm: return norms.ffn_sub;
    case kQueryNorm:
    case kKeyNorm: return norms.query_key;
    case kPostAttentionNorm: return norms.post_attention;
    case kPostFfnNorm: return norms.post_ffn;
    case kQueryInputNorm:
    case kKeyInputNorm:
    case kValueInputNorm:
    case kAttentionOutputInputNorm:
    case kGateInputNorm:
    case kUpInputNorm:
    case kDownInputNorm: return norms.projection_input;
    default: return false;  // a ternary matrix
  }
}

// Names of all tensors that the model of `config` reads, and of the scales that may stand beside
// the ternary ones, which its loader judges.
std::set<std::string, std::less<>> tensor_names(const DecoderConfig& config) {
  using enum BlockTensor;
  std::set<std::string, std::less<>> names{std::string(kTokenEmbedding), std::string(kOutputNorm),
                                           std::string(kOutput)};
  if (config.rope_factors) names.emplace(kRopeFactors);
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    for (std::size_t role = 0; role < kBlockTensorNames.size(); ++role) {
      if (!has_norm(config.norms, BlockTensor{static_cast<int>(role)})) continue;
      names.insert(block_tensor_name(layer, BlockTensor{static_cast<int>(role)}));
    }
  }
  for (std::string& name : ternary_tensor_names(config)) {
    names.insert(name.substr(0, name.rfind('.')) + ".scale");
    names.insert(std::move(name));
  }
  return names;
}

// What a tensor without a place means, of those that are known from other models.
Error misplaced(const GgufFile& file, const std::string& tensor, const DecoderConfig& config) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kForeign{{
      {".attn_sub_norm.", "a norm on the attention output"},
      {".ffn_sub_norm.", "a norm on the gated product"},
      {".attn_q_norm.", "query and key norms"},
      {".attn_k_norm.", "query and key norms"},
      {".post_attention_norm.", "post-attention norms"},
      {".post_ffw_norm.", "post-FFN norms"},
      {"_exps.", "a mixture of experts"},
      {"_shexp.", "a mixture of experts"},
      {"rope_freqs.", "RoPE factors"},
  }};
  for (const auto& [part, meaning] : kForeign) {
    if (tensor.find(part) == std::string::npos) continue;
    return unsupported(file, tensor,
                       "the model has " + std::string(meaning) + ", which is not supported in a " +
                           config.architecture + " model");
  }
  if (tensor.ends_with(".bias")) return unsupported(file, tensor, "biases are not supported");
  return unsupported(file, tensor,
                     "the tensor has no place in a " + config.architecture + " model of " +
                         std::to_string(config.layers) + " blocks");
}

// Every tensor must have a place in the block: one that is passed over may have changed the
// arithmetic without a key that says so.
Result<void> check_known_tensors(const GgufFile& file, const DecoderConfig& config) {
  const auto names = tensor_names(config);
  for (const format::Tensor& tensor : file.tensors()) {
    if (!names.contains(tensor.name)) return misplaced(file, tensor.name, config);
  }
  return {};
}

// What tensors alone say: no key announces them.
void read_optional_tensors(const GgufFile& file, const Family& family, DecoderConfig& config) {
  config.rope_factors = family.may_have_rope_factors && file.tensor(kRopeFactors) != nullptr;
  config.norms.projection_input = std::ranges::any_of(
      file.tensors(),
      [](const format::Tensor& tensor) { return tensor.name.ends_with("_norm_in.weight"); });
}

}  // namespace

Result<DecoderConfig> read_decoder_config(const GgufFile& file) {
  TERN_ASSIGN(const std::string_view architecture, file.get_string("general.architecture"));
  TERN_TRY(refuse_hadamard(file));
  TERN_ASSIGN(const Family* family, find_family(file, architecture));
  TERN_ASSIGN(const std::string_view model_name, file.get_string_or("general.name", ""));
  DecoderConfig config = config_of(*family);
  config.name = model_name;
  const KeyReader keys(file, architecture);
  TERN_TRY(check_known_keys(file, keys));
  TERN_TRY(read_shape(file, keys, config));
  TERN_TRY(check_heads(file, keys, config));
  TERN_TRY(check_rope(file, keys, config));
  TERN_TRY(read_vocab(file, keys, config));
  if (family->scaled_embedding) {
    config.embedding_scale = std::sqrt(static_cast<float>(config.hidden));
  }
  config.query_scale = query_scale(config);
  TERN_ASSIGN(config.pooling, read_pooling(file, keys));
  read_optional_tensors(file, *family, config);
  TERN_TRY(check_known_tensors(file, config));
  return config;
}

DecoderConfig family_config(std::string_view architecture) {
  return config_of(*std::ranges::find(kFamilies, architecture, &Family::architecture));
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
  if (!config.pooling) return;
  const auto at = std::find(kPoolings.begin(), kPoolings.end(), *config.pooling);
  set("pooling_type", static_cast<std::uint32_t>(at - kPoolings.begin() + 1));
}

std::string block_tensor_name(std::uint32_t layer, BlockTensor tensor) {
  return "blk." + std::to_string(layer) + "." +
         std::string(kBlockTensorNames[static_cast<std::size_t>(tensor)]) + ".weight";
}

std::vector<std::string> ternary_tensor_names(const DecoderConfig& config) {
  using enum BlockTensor;
  std::vector<std::string> names;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    for (const auto role : {kQuery, kKey, kValue, kAttentionOutput, kGate, kUp, kDown}) {
      names.push_back(block_tensor_name(layer, role));
    }
  }
  return names;
}

}  // namespace tern::arch
