// How each family spells its configuration and its tensors in a Hugging Face checkpoint.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arch/decoder_config.h"
#include "core/result.h"

namespace tern::arch {

// How a checkpoint holds its ternary matrices.
enum class HfWeights {
  kPackedDivide,    // packed uint8; a linear divides by its weight_scale (`bitlinear`)
  kPackedMultiply,  // packed uint8; a linear multiplies by it (`autobitlinear`)
  kOnline,          // master weights, which each forward pass makes ternary
  kTernaryFloats,   // trits times a scale, as floats
};

struct HfModel {
  DecoderConfig config;
  HfWeights weights = HfWeights::kPackedDivide;
  bool old_norm_names = false;      // of bitnet_b1_58-large and -3B: `inner_attn_ln`
  float gain_offset = 0.0f;         // what the family adds to the gains of its own norms
  std::vector<float> rope_factors;  // one a frequency; empty: none
};

// Reads config.json. Errors: kMalformed for settings that are missing or out of range;
// kUnsupported, by name, for a class, an activation, a quantisation or a setting that Tern does not
// run. A setting that is not known is one of these unless it is off: it may change what the model
// computes.
Result<HfModel> read_hf_config(const boost::json::object& config, const std::string& source);

enum class HfRole {
  kMatrix,     // an embedding or a head
  kNorm,       // the gains of a norm of the family
  kInputNorm,  // the gains of a norm before a ternary linear, to which nothing is added
  kTernary,
};

struct HfTensor {
  std::string theirs;  // "model.layers.0.self_attn.q_proj.weight"
  std::string ours;    // "blk.0.attn_q.weight"
  HfRole role = HfRole::kTernary;
  std::uint64_t rows = 1;
  std::uint64_t columns = 0;
  // Heads whose rows are reordered so that RoPE's pairs are neighbours; 0: rows stay.
  std::uint32_t neighbour_head = 0;  // the size of a head
};

// All tensors that the model needs, in the order of the GGUF file.
std::vector<HfTensor> hf_tensors(const HfModel& model);

// The name of the scale beside a packed matrix.
std::string hf_scale_name(std::string_view weight);

// Tensors that older checkpoints carry and that follow from the configuration.
bool is_derived_hf_tensor(std::string_view name);

}  // namespace tern::arch
