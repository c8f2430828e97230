#include "arch/footprint.h"

namespace tern::arch {

std::uint64_t ternary_macs_per_token(const DecoderConfig& config) {
  const std::uint64_t hidden = config.hidden;
  const std::uint64_t attention = hidden * (2ull * config.query_width() + 2ull * config.kv_width());
  const std::uint64_t ffn = 3 * hidden * config.ffn;
  return config.layers * (attention + ffn);
}

std::uint64_t kv_bytes_per_token(const DecoderConfig& config, std::uint64_t value_bytes) {
  return 2ull * config.layers * config.kv_width() * value_bytes;
}

}  // namespace tern::arch
