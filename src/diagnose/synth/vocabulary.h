// A byte-level BPE vocabulary of any size that is no model's: bytes, pairs and triples of common
// bytes, and special tokens at the places relative to the end where Llama 3 has its own.
#pragma once

#include <cstdint>

#include "format/gguf/gguf_writer.h"

namespace tern::diagnose {

inline constexpr std::uint32_t kSynthSpecialTokens = 256;
// 256 bytes, 96^2 pairs, 50^3 triples, special tokens.
inline constexpr std::uint32_t kLargestSynthVocabulary = 256 + 9216 + 125000 + kSynthSpecialTokens;

// Sets the tokenizer.ggml.* keys. `size` is above 512 and at most kLargestSynthVocabulary.
void write_synth_vocabulary(std::uint32_t size, format::GgufWriter& writer);

}  // namespace tern::diagnose
