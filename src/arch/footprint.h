// What running a configuration costs: arithmetic and memory, from the shape alone.
#pragma once

#include <cstdint>

#include "arch/decoder_config.h"

namespace tern::arch {

// Multiply-accumulates of the ternary linears for one token.
std::uint64_t ternary_macs_per_token(const DecoderConfig& config);

// Bytes of keys and values that one token adds, with `value_bytes` a stored value.
std::uint64_t kv_bytes_per_token(const DecoderConfig& config, std::uint64_t value_bytes);

}  // namespace tern::arch
