#include "arch/footprint.h"

#include "arch/gguf_dialect.h"

namespace tern::arch {

std::uint64_t ternary_macs_per_token(const DecoderConfig& config) {
  const std::uint64_t hidden = config.hidden;
  const std::uint64_t attention = hidden * (2ull * config.query_width() + 2ull * config.kv_width());
  const std::uint64_t ffn = 3 * hidden * config.ffn;
  return config.layers * (attention + ffn);
}

std::uint64_t kv_bytes_per_token(const DecoderConfig& config, format::KvType type) {
  return 2ull * config.layers * config.kv_heads * format::kv_vector_bytes(type, config.head_dim);
}

std::uint64_t payload_bytes_per_token(const DecoderConfig& config,
                                      std::span<const format::Tensor> tensors) {
  std::uint64_t bytes = 0;
  for (const format::Tensor& tensor : tensors) {
    if (tensor.name == kTokenEmbedding && !config.tied_embedding) continue;
    bytes += tensor.data.size();
  }
  return bytes;
}

}  // namespace tern::arch
