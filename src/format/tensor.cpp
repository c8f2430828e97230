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
    case TensorType::kTL1: return "tl1";
    case TensorType::kTL2: return "tl2";
    case TensorType::kIQ1_BN: return "iq1_bn";
    case TensorType::kIQ2_BN: return "iq2_bn";
  }
  return "unknown";
}

}  // namespace tern::format
