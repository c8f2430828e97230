// What the folder of a packed checkpoint will hold and where from, before a weight is read; and the
// proof of what it holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/made_folder.h"
#include "convert/output_file.h"
#include "convert/team.h"
#include "convert/transcode.h"
#include "convert/transcode_jobs.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"

namespace tern::convert {

struct PackedPlan {
  std::filesystem::path folder;  // that it will be
  FolderFiles files;             // beside the weights
  std::vector<TranscodeJob> jobs;
  std::string head;  // of the weights: header and, behind it, scales
  std::uint64_t file_bytes = 0;
  std::vector<std::string> not_carried;  // keys
  std::string fingerprint;               // of all that decides the bytes
};

// Reads what it plans as convert() reads a checkpoint, and compares: the model and its tokenizer
// are those of the file. The output is the place of the folder. Borrows the file. Errors: those of
// transcode().
Result<PackedPlan> plan_packed(const TranscodeOptions& options, const format::GgufFile& file);

// As check_identity(), of the written weights as convert() reads them.
Result<void> check_packed_identity(const std::string& expected, const PackedPlan& plan,
                                   OutputFile& output, Team& team,
                                   const TranscodeJobs::Progress& progress);

}  // namespace tern::convert
