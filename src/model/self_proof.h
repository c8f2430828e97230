// Evidence, at load, that the model is what it claims and that the tier computes what the
// definition says: the family's faults (another bit order, an inverted scale, a broken kernel) give
// fluent nonsense, so they are looked for before the first token.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "format/tensor.h"

namespace tern::model {

struct TernaryTensor {
  const format::Tensor* tensor;
  backend::WeightId weight;
};

struct ProofReport {
  bool proved = false;
  double seconds = 0.0;
  std::uint64_t tensors = 0;
  std::uint64_t rows_compared = 0;       // tier against definition
  std::array<std::uint64_t, 3> trits{};  // -1, 0, +1 in the sampled rows
  float median_scale = 0.0f;
};

// Checks every ternary tensor: the backend met no code without a meaning when it packed it; the
// trits of sampled rows are neither all zero nor all alike nor lopsided; the scales can be
// multiplicative; and the backend's result on rows of the real tensor equals the definition bit for
// bit. Errors: kProofFailed naming the tensor. The tensors are of `file`, whose pages are released
// again.
Result<ProofReport> prove(const format::GgufFile& file, std::span<const TernaryTensor> tensors,
                          backend::Backend& backend);

// Checks the norms of a family whose gains are 1 + w: converters that leave w give gains about
// zero, many of them negative. Errors: kProofFailed naming the tensor.
Result<void> prove_gains(const format::GgufFile& file);

}  // namespace tern::model
