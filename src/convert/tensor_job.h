// One tensor of the output: where its bytes come from, what becomes of them, where they go.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "arch/hf_dialect.h"
#include "convert/output_file.h"
#include "convert/team.h"
#include "core/result.h"
#include "format/safetensors/checkpoint.h"
#include "format/tensor.h"

namespace tern::convert {

struct TensorJob {
  arch::HfTensor shape;
  format::TensorType type = format::TensorType::kF32;  // in the output
  arch::HfWeights weights = arch::HfWeights::kOnline;  // of a ternary one
  std::size_t file = 0;                                // of the checkpoint; its tensor:
  const format::SafetensorsTensor* source = nullptr;
  float scale = 0.0f;       // of a packed one; others are measured
  float offset = 0.0f;      // added to gains
  std::uint64_t begin = 0;  // in the output
  std::uint64_t bytes = 0;
};

// Whether the type holds the scale exactly: i2_s any, the others what f16 can. Errors:
// kUnsupported.
Result<void> check_scale_fits(format::TensorType type, float scale);

class TensorConverter {
 public:
  // All are borrowed. `tile_bytes` is what a thread reads at once, about.
  TensorConverter(const format::Checkpoint& checkpoint, const OutputFile& output, Team& team,
                  std::uint64_t tile_bytes)
      : checkpoint_(checkpoint), output_(output), team_(team), tile_bytes_(tile_bytes) {}

  // Converts and writes the tensor, in tiles that share the team with `beside`: its tiles 0 and 1
  // run once each, one after the other, spread over the passes that the tensor needs. Returns how
  // many values f16 could not hold and were rounded. Errors name file and tensor: kUnsupported for
  // floats that are not ternary, kMalformed for codes and numbers that mean nothing.
  Result<std::uint64_t> convert(const TensorJob& job, const Team::Task& beside);

  // The hash of the bytes that the output holds for a tensor.
  Result<std::uint64_t> hash(const TensorJob& job);

 private:
  class Ternary;
  Result<void> convert_ternary(const TensorJob& job, const Team::Task& beside);
  Result<std::uint64_t> convert_floats(const TensorJob& job, const Team::Task& beside);

  const format::Checkpoint& checkpoint_;
  const OutputFile& output_;
  Team& team_;
  std::uint64_t tile_bytes_;
};

}  // namespace tern::convert
