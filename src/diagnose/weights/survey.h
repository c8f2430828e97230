// What the ternary matrices of a file hold: every trit is counted, every scale read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "model/plausibility.h"

namespace tern::diagnose {

struct MatrixSurvey {
  const format::Tensor* tensor;  // of the file
  model::TritCounts trits{};
  float scale = 0.0f;
};

struct Survey {
  std::vector<MatrixSurvey> matrices;  // of ternary types, in the order of the file
  model::TritCounts trits{};           // of all
  float least_scale = 0.0f;
  float median_scale = 0.0f;
  float largest_scale = 0.0f;
  std::vector<Error> doubts;  // what the self-proof would refuse, or cannot be read
};

// Reads all ternary matrices with that many threads, and gives their pages back. Errors:
// kOutOfMemory for threads that the machine cannot give; doubts are none.
Result<Survey> survey(const format::GgufFile& file, std::uint32_t threads);

}  // namespace tern::diagnose
