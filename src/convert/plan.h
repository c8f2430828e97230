// The first pass: what the output will hold and where from, with every check that needs no weights.
#pragma once

#include <string>
#include <vector>

#include "arch/hf_dialect.h"
#include "convert/convert.h"
#include "convert/output_types.h"
#include "convert/tensor_job.h"
#include "core/result.h"
#include "format/gguf/gguf_writer.h"
#include "format/safetensors/checkpoint.h"

namespace tern::convert {

struct Plan {
  format::Checkpoint checkpoint;
  arch::HfModel model;
  std::vector<TensorJob> jobs;  // in the order of the output
  std::vector<float> rope_factors;
  std::uint64_t rope_begin = 0;  // where they go
  format::GgufWriter::Layout layout;
  std::vector<std::string> files;  // of the folder, beside the weights
  OutputTilings tilings;
  std::string fingerprint;  // of all that decides the output's bytes
};

// Errors: those of convert().
Result<Plan> make_plan(const ConvertOptions& options);

}  // namespace tern::convert
