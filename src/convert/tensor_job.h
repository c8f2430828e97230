// One tensor of the output: where its bytes come from, what becomes of them, where they go.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arch/hf_dialect.h"
#include "convert/certificate.h"
#include "convert/output_file.h"
#include "convert/team.h"
#include "core/result.h"
#include "format/safetensors/checkpoint.h"
#include "format/tensor.h"
#include "format/ternary_encoder.h"

namespace tern::convert {

struct TensorJob {
  arch::HfTensor shape;
  format::TensorType type = format::TensorType::kF32;  // in the output
  arch::HfWeights weights = arch::HfWeights::kOnline;  // of a ternary one
  std::size_t file = 0;                                // of the checkpoint; its tensor:
  const format::SafetensorsTensor* source = nullptr;
  float scale = 0.0f;       // of a packed one; others are measured
  float offset = 0.0f;      // added to gains
  format::TlTiling tiling;  // of tl1 and tl2
  // Its type may not hold the scale: that is 1 in the matrix, and an f32 tensor beside it has it.
  bool scale_beside = false;
  std::uint64_t scale_begin = 0;  // of that one's bytes
  // Where there is one: gets the trits as they come from the checkpoint, and the scale.
  MatrixCertificate* certificate = nullptr;
  float* certificate_scale = nullptr;
  std::uint64_t begin = 0;  // in the output
  std::uint64_t bytes = 0;
};

// "blk.0.attn_q.scale", beside "blk.0.attn_q.weight".
std::string scale_beside_name(std::string_view weight);

// How the job's matrix is written with that scale. Errors: kUnsupported for what its type cannot
// hold.
Result<format::TernaryEncoder> encoder_of(const TensorJob& job, float scale);

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

  // Reads a ternary one as convert() does, for its certificate alone: nothing is written.
  Result<void> certify(const TensorJob& job, const Team::Task& beside);

  // The hash of the bytes that the output holds for a tensor, and of the scale beside it.
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
