#include "format/tensor.h"

namespace tern::format {

std::string_view name(TensorType type) {
  switch (type) {
    case TensorType::kF32: return "f32";
    case TensorType::kF16: return "f16";
    case TensorType::kQ4_0: return "q4_0";
    case TensorType::kQ8_0: return "q8_0";
    case TensorType::kQ6_K: return "q6_k";
    case TensorType::kBF16: return "bf16";
    case TensorType::kTQ1_0: return "tq1_0";
    case TensorType::kTQ2_0: return "tq2_0";
    case TensorType::kI2_S: return "i2_s";
  }
  return "unknown";
}

}  // namespace tern::format
