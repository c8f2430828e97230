// The decoder block as a plan: the only place that knows the order of a block's operations.
#pragma once

#include <optional>
#include <vector>

#include "arch/decoder_config.h"
#include "backend/plan.h"
#include "core/result.h"

namespace tern::model {

// A ternary linear, and the norm of its own that may stand before it.
struct LinearWeights {
  backend::WeightId matrix;
  std::optional<backend::WeightId> input_norm;
};

// Norms that not every family has are absent where the model has none.
struct BlockWeights {
  backend::WeightId attention_norm;
  LinearWeights query;
  LinearWeights key;
  LinearWeights value;
  std::optional<backend::WeightId> query_norm;  // of each head
  std::optional<backend::WeightId> key_norm;
  std::optional<backend::WeightId> attention_sub_norm;
  LinearWeights attention_output;
  std::optional<backend::WeightId> post_attention_norm;
  backend::WeightId ffn_norm;
  LinearWeights gate;
  LinearWeights up;
  std::optional<backend::WeightId> ffn_sub_norm;
  LinearWeights down;
  std::optional<backend::WeightId> post_ffn_norm;
};

struct DecoderWeights {
  backend::WeightId embedding;
  std::vector<BlockWeights> blocks;
  backend::WeightId output_norm;
  backend::WeightId head;
  std::vector<float> rope_factors;  // [head_dim / 2], or empty: what each frequency is divided by
};

// Errors: kUnsupported for a setting of the configuration that no operation carries out.
Result<backend::Plan> build_decoder_plan(const arch::DecoderConfig& config,
                                         const DecoderWeights& weights);

}  // namespace tern::model
