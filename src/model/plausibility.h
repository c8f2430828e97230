// What trained ternary layers look like, and which trits and scales cannot be theirs.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/result.h"
#include "format/tensor.h"

namespace tern::model {

// How many are -1, 0 and +1.
using TritCounts = std::array<std::uint64_t, 3>;

struct TensorScale {
  const format::Tensor* tensor;
  float scale;
};

// Errors of all: kProofFailed naming the tensor, with what to do.

// That a code of it means nothing.
Error invalid_code(const format::Tensor& tensor, std::uint64_t element);
// Trits are neither all zero nor all alike nor lopsided.
Result<void> check_trits(const format::Tensor& tensor, const TritCounts& trits);
// Scales of one model are of one size, and that size is one of weights, not of their inverse.
// Returns the median of at least one.
Result<float> check_scales(std::span<const TensorScale> scales);

// Whether such a median is that of inverses.
bool scales_are_inverse(float median);

}  // namespace tern::model
