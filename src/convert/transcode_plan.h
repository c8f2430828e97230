// What a transcoded file will hold and where from, before a weight is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/output_types.h"
#include "convert/transcode.h"
#include "convert/transcode_jobs.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf/gguf_writer.h"

namespace tern::convert {

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
