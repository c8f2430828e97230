// The decoder block as a plan: the only place that knows the order of a block's operations.
#pragma once

#include <vector>

#include "arch/decoder_config.h"
#include "backend/plan.h"
#include "core/result.h"

namespace tern::model {

struct BlockWeights {
  backend::WeightId attention_norm;
  backend::WeightId query;
  backend::WeightId key;
  backend::WeightId value;
  backend::WeightId attention_sub_norm;
  backend::WeightId attention_output;
  backend::WeightId ffn_norm;
  backend::WeightId gate;
  backend::WeightId up;
  backend::WeightId ffn_sub_norm;
  backend::WeightId down;
};

struct DecoderWeights {
  backend::WeightId embedding;
  std::vector<BlockWeights> blocks;
  backend::WeightId output_norm;
  backend::WeightId head;
};

// Errors: kUnsupported for a setting of the configuration that no operation carries out.
Result<backend::Plan> build_decoder_plan(const arch::DecoderConfig& config,
                                         const DecoderWeights& weights);

}  // namespace tern::model
