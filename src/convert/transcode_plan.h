// What a transcoded file will hold and where from, before a weight is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/output_types.h"
#include "convert/transcode.h"
#include "convert/trit_source.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf/gguf_writer.h"
#include "format/ternary_encoder.h"

namespace tern::convert {

struct TranscodeJob {
  enum class Kind : std::uint8_t {
    kCopy,     // of the source's bytes
    kRows,     // numbers of another type
    kTernary,  // trits
    kScale,    // of the matrix of the job before, beside it
  };
  Kind kind = Kind::kCopy;
  std::string name;
  const format::Tensor* source = nullptr;
  format::TensorType type = format::TensorType::kF32;  // in the output
  float scale = 0.0f;                                  // of kScale
  std::vector<TritSource> trits = {};                  // of kTernary: one
  std::vector<format::TernaryEncoder> encoder = {};    // the same
  std::uint64_t begin = 0;                             // in the output
  std::uint64_t bytes = 0;
};

struct TranscodePlan {
  std::vector<TranscodeJob> jobs;  // in the order of the output
  format::GgufWriter::Layout layout;
  OutputTilings tilings;
  std::string fingerprint;  // of all that decides the output's bytes
  std::size_t scales_beside = 0;
};

// Borrows the file. Errors: those of transcode().
Result<TranscodePlan> make_transcode_plan(const TranscodeOptions& options,
                                          const format::GgufFile& file);

}  // namespace tern::convert
