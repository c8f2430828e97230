#include "convert/encode_row.h"

#include <cmath>
#include <cstring>
#include <string>

#include "core/float16.h"
#include "format/float_blocks.h"

namespace tern::convert {

using format::TensorType;

Result<void> encode_row(TensorType type, std::span<const float> values, std::byte* out,
                        std::atomic<std::uint64_t>& rounded_values) {
  if (type == TensorType::kF32) {
    std::memcpy(out, values.data(), values.size_bytes());
    return {};
  }
  if (type == TensorType::kQ8_0) {
    format::quantize_row_q8_0(values.data(), values.size(), out);
    return {};
  }
  if (type == TensorType::kQ6_K) {
    format::quantize_row_q6_k(values.data(), values.size(), out);
    return {};
  }
  std::uint64_t rounded = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half = f32_to_f16(values[i]);
    const float back = f16_to_f32(half);
    if (!std::isfinite(back)) {
      return Error{
          ErrorCode::kUnsupported,
          "f16 cannot hold the value " + std::to_string(values[i]) + "; choose --head q8_0 or q6_k",
          ""};
    }
    rounded += back != values[i] ? 1 : 0;
    std::memcpy(out + 2 * i, &half, sizeof half);
  }
  rounded_values += rounded;
  return {};
}

}  // namespace tern::convert
