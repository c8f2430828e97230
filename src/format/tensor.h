// A tensor as a file stores it: name, type, shape and the bytes, borrowed from the file's mapping.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "format/ternary/tl_tiling.h"

namespace tern {
class MappedFile;  // core/mapped_file.h
}

namespace tern::format {

// GGML type ids. Ids collide between forks; the reader checks sizes, the self-proof checks content.
enum class TensorType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ8_0 = 8,
  kQ6_K = 14,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kI2_S = 36,
  kTL1 = 38,
  kTL2 = 39,
  kIQ1_BN = 134,
  kIQ2_BN = 135,
};

std::string_view name(TensorType type);  // "f32", "i2_s"

struct Tensor {
  std::string name;
  TensorType type = TensorType::kF32;
  // GGML order: shape[0] is the contiguous dimension (the columns K of a matrix), shape[1] the
  // rows.
  std::array<std::uint64_t, 4> shape{1, 1, 1, 1};
  std::uint32_t rank = 1;
  std::span<const std::byte> data;
  const MappedFile* file = nullptr;  // that `data` is a part of; none for bytes in memory
  // Of tl1 and tl2; what the file does not say, its reader finds out.
  TlTiling tiling = {};
  // Of a ternary matrix NAME.weight beside which the file has a NAME.scale.
  std::optional<float> scale_beside = std::nullopt;

  std::uint64_t columns() const { return shape[0]; }
  std::uint64_t rows() const { return shape[1] * shape[2] * shape[3]; }
  std::uint64_t elements() const { return columns() * rows(); }
};

}  // namespace tern::format
