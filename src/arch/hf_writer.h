// config.json of a model: what read_hf_config() reads.
#pragma once

#include <boost/json/object.hpp>

#include "arch/decoder_config.h"
#include "core/result.h"

namespace tern::arch {

// Of a checkpoint whose weights are packed and whose layers multiply by weight_scale. Numbers have
// as few digits as give the same f32 again. Says nothing of tokens. Errors: kUnsupported for what
// config.json has other settings for than a GGUF file, so that they cannot be told from it.
Result<boost::json::object> write_hf_config(const DecoderConfig& config);

// The number of as few digits as give the same f32.
double few_digits(float value);

}  // namespace tern::arch
