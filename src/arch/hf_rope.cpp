#include "arch/hf_rope.h"

#include <algorithm>
#include <numbers>

#include "core/fixed_math.h"

namespace tern::arch {
namespace {

namespace json = boost::json;

// Of Llama 3.1: long waves are slowed down by `factor`, short ones stay, those between are mixed.
Result<std::vector<float>> llama3_factors(const JsonSettings& rope, const DecoderConfig& config) {
  TERN_ASSIGN(const double factor, rope.number("factor"));
  TERN_ASSIGN(const double low, rope.number("low_freq_factor"));
  TERN_ASSIGN(const double high, rope.number("high_freq_factor"));
  TERN_ASSIGN(const double context, rope.number("original_max_position_embeddings"));
  if (high <= low) {
    return rope.malformed("high_freq_factor", "expected more than low_freq_factor, found " +
                                                  rope.shown("high_freq_factor"));
  }
  std::vector<float> factors;
  for (std::uint32_t i = 0; i < config.head_dim; i += 2) {
    const double turns = static_cast<double>(i) / config.head_dim;
    const double wave = 2 * std::numbers::pi * fixed_pow(config.rope_theta, turns);
    const double smooth = std::clamp((context / wave - low) / (high - low), 0.0, 1.0);
    factors.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / factor + smooth)));
  }
  return factors;
}

// The object that says how RoPE is scaled; of Gemma 3 that of full attention. nullptr: none.
const json::object* scaling_of(const JsonSettings& settings) {
  const json::value* value = settings.find("rope_parameters");
  if (value == nullptr) value = settings.find("rope_scaling");
  const json::object* object = value == nullptr ? nullptr : value->if_object();
  if (object == nullptr) return nullptr;
  const json::value* full = object->if_contains("full_attention");
  return full == nullptr ? object : full->if_object();
}

Result<double> theta_of(const JsonSettings& settings, const json::object* scaling) {
  if (scaling == nullptr || scaling->if_contains("rope_theta") == nullptr) {
    return settings.number("rope_theta");
  }
  const JsonSettings rope(*scaling, settings.source() + ": rope_parameters");
  TERN_ASSIGN(const double theta, rope.number("rope_theta"));
  TERN_ASSIGN(const double outside, settings.number_or("rope_theta", theta));
  if (theta != outside) {
    return settings.malformed("rope_theta", "expected that of rope_parameters, " +
                                                rope.shown("rope_theta") + ", found " +
                                                settings.shown("rope_theta"));
  }
  return theta;
}

}  // namespace

Result<void> read_hf_rope(const JsonSettings& settings, DecoderConfig& config,
                          std::vector<float>& factors) {
  const json::object* scaling = scaling_of(settings);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (settings.find(key) != nullptr && scaling == nullptr) {
      return settings.malformed(key, "expected an object, found " + settings.shown(key));
    }
  }
  TERN_ASSIGN(config.rope_theta, theta_of(settings, scaling));
  TERN_ASSIGN(const double part, settings.number_or("partial_rotary_factor", 1.0));
  if (part != 1.0) {
    return settings.unsupported("partial_rotary_factor",
                                "RoPE over a part of a head is not supported; found " +
                                    settings.shown("partial_rotary_factor"));
  }
  if (scaling == nullptr) return {};
  const JsonSettings rope(*scaling, settings.source() + ": RoPE scaling");
  const char* key = rope.find("rope_type") != nullptr ? "rope_type" : "type";
  TERN_ASSIGN(const std::string type, rope.text_or(key, "default"));
  if (type == "default") return {};
  if (type != "llama3" || config.rope_pairing != RopePairing::kNeighbours) {
    return rope.unsupported(
        key, "RoPE scaling '" + type + "' is not supported in a " + config.architecture + " model");
  }
  TERN_ASSIGN(factors, llama3_factors(rope, config));
  config.rope_factors = true;
  return {};
}

}  // namespace tern::arch
