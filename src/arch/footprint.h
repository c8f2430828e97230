// What running a configuration costs: arithmetic and memory, from shapes and sizes alone.
#pragma once

#include <cstdint>
#include <span>

#include "arch/decoder_config.h"
#include "format/kv_type.h"
#include "format/tensor.h"

namespace tern::arch {

// Multiply-accumulates of the ternary linears for one token.
std::uint64_t ternary_macs_per_token(const DecoderConfig& config);

// Bytes of keys and values, scales included, that one token adds.
std::uint64_t kv_bytes_per_token(const DecoderConfig& config, format::KvType type);

// Bytes of the tensors that each decoded token reads: all of the file, but of an untied embedding,
// of which a token reads one row.
std::uint64_t payload_bytes_per_token(const DecoderConfig& config,
                                      std::span<const format::Tensor> tensors);

}  // namespace tern::arch
