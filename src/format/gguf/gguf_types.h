// The type ids that GGUF writes: of metadata values and of tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "format/tensor.h"

namespace tern::format {

enum class GgufType : std::uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// "uint32"; "unknown" for an id that GGUF does not define.
std::string_view name(GgufType type);

// The bytes of a scalar in a file, which for a string is its length field alone. 0 for an array and
// for an id that GGUF does not define.
std::uint64_t minimum_bytes(GgufType type);

// The tensor type of an id, if Tern implements it.
std::optional<TensorType> tensor_type(std::uint32_t id);

// What an id that Tern does not implement is known as, or "" for an id that nobody is known to use.
std::string_view foreign_tensor_type(std::uint32_t id);

}  // namespace tern::format
