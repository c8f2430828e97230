#include "arch/hf_writer.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <charconv>
#include <string_view>

#include "arch/hf_families.h"

namespace tern::arch {
namespace {

namespace json = boost::json;

json::string_view text(std::string_view value) { return {value.data(), value.size()}; }

// bitnet-25 is an older name of bitnet-b1.58.
const HfFamily* family_of(std::string_view architecture) {
  if (architecture == "bitnet-25") architecture = "bitnet-b1.58";
  const auto* const found = std::ranges::find_if(kHfFamilies, [&](const HfFamily& family) {
    return family.architecture == architecture && !family.always_online;
  });
  return found == kHfFamilies.end() ? nullptr : &*found;
}

Error unsupported(std::string message) {
  return Error{ErrorCode::kUnsupported, std::move(message), "config.json"};
}

json::object quantisation(const DecoderConfig& config) {
  json::object q{{"quant_method", "bitnet"},
                 {"linear_class", "autobitlinear"},
                 {"quantization_mode", "offline"},
                 {"modules_to_not_convert", json::array{"lm_head"}}};
  if (config.norms.projection_input) {
    q["use_rms_norm"] = true;
    q["rms_norm_eps"] = few_digits(config.norm_epsilon);
  }
  return q;
}

}  // namespace

double few_digits(float value) {
  std::array<char, 64> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  double number = 0.0;
  std::from_chars(digits.data(), written.ptr, number);
  return number;
}

Result<json::object> write_hf_config(const DecoderConfig& config) {
  const HfFamily* family = family_of(config.architecture);
  if (family == nullptr) {
    return unsupported("no class of transformers is known for the architecture '" +
                       config.architecture + "'");
  }
  if (config.rope_factors) {
    return unsupported(
        "the model scales RoPE by factors (rope_freqs.weight), and config.json has the settings "
        "that they were made from, which cannot be told from them");
  }
  if (config.query_scale) {
    return unsupported("the model scales queries by another width than that of a head");
  }
  const bool gemma = family->architecture == "gemma3";
  json::object out{{"architectures", json::array{text(family->model_class)}},
                   {"model_type", text(family->model_type)},
                   {gemma ? "hidden_activation" : "hidden_act", text(family->activation)},
                   {"vocab_size", config.vocab},
                   {"hidden_size", config.hidden},
                   {"intermediate_size", config.ffn},
                   {"num_hidden_layers", config.layers},
                   {"num_attention_heads", config.heads},
                   {"num_key_value_heads", config.kv_heads},
                   {"head_dim", config.head_dim},
                   {"max_position_embeddings", config.context},
                   {"rms_norm_eps", few_digits(config.norm_epsilon)},
                   {"rope_theta", few_digits(static_cast<float>(config.rope_theta))},
                   {"tie_word_embeddings", config.tied_embedding},
                   {"attention_bias", false},
                   {"torch_dtype", "float32"},  // holds each number of the file
                   {"quantization_config", quantisation(config)}};
  if (gemma) {
    out["query_pre_attn_scalar"] = config.head_dim;
    out["layer_types"] = json::array(config.layers, "full_attention");
  }
  return out;
}

}  // namespace tern::arch
