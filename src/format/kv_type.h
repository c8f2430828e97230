// How the keys and values of a KV cache are stored.
#pragma once

#include <cstdint>
#include <string_view>

namespace tern::format {

enum class KvType : std::uint8_t {
  kF16,
  kInt8,  // codes of int8 with one scale in f32 for the key, and one for the value, of each head
};

constexpr std::string_view name(KvType type) { return type == KvType::kF16 ? "f16" : "int8"; }

// Of one head's key, or of its value.
constexpr std::uint64_t kv_vector_bytes(KvType type, std::uint32_t head_dim) {
  return type == KvType::kF16 ? std::uint64_t{head_dim} * sizeof(std::uint16_t)
                              : std::uint64_t{head_dim} + sizeof(float);
}

}  // namespace tern::format
