// How config.json says what RoPE does: rope_theta and rope_scaling, or rope_parameters.
#pragma once

#include <vector>

#include "arch/decoder_config.h"
#include "arch/json_settings.h"
#include "core/result.h"

namespace tern::arch {

// Sets rope_theta and rope_factors of the configuration, whose shape is known; `factors` gets what
// each frequency is divided by where a scaling does so. Errors: kMalformed; kUnsupported for a
// scaling other than that of Llama 3.1, and for RoPE over a part of a head.
Result<void> read_hf_rope(const JsonSettings& settings, DecoderConfig& config,
                          std::vector<float>& factors);

}  // namespace tern::arch
