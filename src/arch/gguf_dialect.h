// How each family spells its configuration and its tensors in GGUF.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arch/decoder_config.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf/gguf_writer.h"

namespace tern::arch {

// Reads and checks the configuration. Errors: kMalformed for keys that are missing, out of range or
// contradict each other or the tensors; kUnsupported, by name, for an architecture, a feature or a
// tensor that Tern does not run.
Result<DecoderConfig> read_decoder_config(const format::GgufFile& file);

// Sets the keys that read_decoder_config reads. What a family implies (activation, norms) has no
// key.
void write_decoder_config(const DecoderConfig& config, format::GgufWriter& writer);

// What the name of an architecture alone says: activation, RoPE's pairs, norms. The architecture is
// one that Tern runs.
DecoderConfig family_config(std::string_view architecture);

// Tensors outside of the blocks.
inline constexpr std::string_view kTokenEmbedding = "token_embd.weight";
inline constexpr std::string_view kOutputNorm = "output_norm.weight";
inline constexpr std::string_view kOutput = "output.weight";
inline constexpr std::string_view kRopeFactors = "rope_freqs.weight";

// Tensors of a block. DecoderConfig says which norms there are.
enum class BlockTensor {
  kAttentionNorm,
  kQuery,
  kKey,
  kValue,
  kAttentionSubNorm,
  kAttentionOutput,
  kFfnNorm,
  kGate,
  kUp,
  kFfnSubNorm,
  kDown,
  kQueryNorm,
  kKeyNorm,
  kQueryInputNorm,
  kKeyInputNorm,
  kValueInputNorm,
  kAttentionOutputInputNorm,
  kGateInputNorm,
  kUpInputNorm,
  kDownInputNorm,
  kPostAttentionNorm,
  kPostFfnNorm,
};

// "blk.3.attn_q.weight"
std::string block_tensor_name(std::uint32_t layer, BlockTensor tensor);

// The matrices whose weights are ternary, in the order of the blocks.
std::vector<std::string> ternary_tensor_names(const DecoderConfig& config);

}  // namespace tern::arch
