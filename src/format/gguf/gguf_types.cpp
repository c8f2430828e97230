#include "format/gguf/gguf_types.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace tern::format {
namespace {

struct GgufTypeFacts {
  std::string_view name;
  std::uint64_t minimum_bytes;
};

constexpr std::array<GgufTypeFacts, 13> kGgufTypes{{
    {"uint8", 1},
    {"int8", 1},
    {"uint16", 2},
    {"int16", 2},
    {"uint32", 4},
    {"int32", 4},
    {"float32", 4},
    {"bool", 1},
    {"string", 8},
    {"array", 0},
    {"uint64", 8},
    {"int64", 8},
    {"float64", 8},
}};

struct ForeignTensorType {
  std::uint32_t id;
  std::string_view name;
};

// ggml, bitnet.cpp and ik_llama.cpp. An id that forks give different meanings lists them all.
constexpr ForeignTensorType kForeignTensorTypes[] = {
    {3, "q4_1"},
    {6, "q5_0"},
    {7, "q5_1"},
    {9, "q8_1"},
    {10, "q2_k"},
    {11, "q3_k"},
    {12, "q4_k"},
    {13, "q5_k"},
    {15, "q8_k"},
    {16, "iq2_xxs"},
    {17, "iq2_xs"},
    {18, "iq3_xxs"},
    {19, "iq1_s"},
    {20, "iq4_nl"},
    {21, "iq3_s"},
    {22, "iq2_s"},
    {23, "iq4_xs"},
    {24, "i8"},
    {25, "i16"},
    {26, "i32"},
    {27, "i64"},
    {28, "f64"},
    {29, "iq1_m"},
    {31, "q4_0_4_4"},
    {32, "q4_0_4_8"},
    {33, "q4_0_8_8"},
    {37, "i8_s"},
    {40, "nvfp4"},
    {41, "q1_0"},
    {42, "q2_0, stq1_0 of Sherry or tl2"},
    {142, "pq2_0 of Ternary-Bonsai"},
    {143, "ptq1_0 of Ternary-Bonsai or g8_0"},
    {335, "iq2_bn_r4"},
};

}  // namespace

std::string_view name(GgufType type) {
  const auto id = static_cast<std::uint32_t>(type);
  return id < kGgufTypes.size() ? kGgufTypes[id].name : "unknown";
}

std::uint64_t minimum_bytes(GgufType type) {
  const auto id = static_cast<std::uint32_t>(type);
  return id < kGgufTypes.size() ? kGgufTypes[id].minimum_bytes : 0;
}

std::optional<TensorType> tensor_type(std::uint32_t id) {
  switch (const auto type = static_cast<TensorType>(id)) {
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kQ4_0:
    case TensorType::kQ8_0:
    case TensorType::kQ6_K:
    case TensorType::kBF16:
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
    case TensorType::kI2_S:
    case TensorType::kTL1:
    case TensorType::kTL2:
    case TensorType::kIQ1_BN:
    case TensorType::kIQ2_BN: return type;
  }
  return std::nullopt;
}

std::string_view foreign_tensor_type(std::uint32_t id) {
  const auto* found = std::ranges::find(kForeignTensorTypes, id, &ForeignTensorType::id);
  return found == std::end(kForeignTensorTypes) ? "" : found->name;
}

}  // namespace tern::format
