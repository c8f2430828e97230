// Rows of numbers to the types of embeddings, heads and norms.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/result.h"
#include "format/tensor.h"

namespace tern::convert {

// Values to f32, f16, q8_0 or q6_k, whole blocks; `out` has the row's bytes. Adds to
// `rounded_values` how many f16 cannot hold exactly. Errors: kUnsupported for one beyond f16's
// range.
Result<void> encode_row(format::TensorType type, std::span<const float> values, std::byte* out,
                        std::atomic<std::uint64_t>& rounded_values);

}  // namespace tern::convert
