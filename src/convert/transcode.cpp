#include "convert/transcode.h"

#include <string>

#include "arch/gguf_dialect.h"
#include "convert/certificate.h"
#include "convert/convert.h"
#include "convert/output_file.h"
#include "convert/packed_plan.h"
#include "convert/staged_folder.h"
#include "convert/team.h"
#include "convert/transcode_jobs.h"
#include "convert/transcode_plan.h"
#include "core/folder.h"

namespace tern::convert {
namespace {

namespace fs = std::filesystem;

Result<void> check_source(const TranscodeOptions& options, const format::GgufFile& file) {
  TERN_ASSIGN(const MappedFile now, MappedFile::open(options.source));
  const FileIdentity& after = now.identity();
  const FileIdentity before = *file.identity();
  if (after.inode == before.inode && after.size == before.size &&
      after.modified == before.modified && after.changed == before.changed) {
    return {};
  }
  return Error{ErrorCode::kIo, "the file changed while it was transcoded; transcode it again",
               file.source()};
}

TranscodeReport report_of(const format::GgufFile& file, const TranscodeJobs& jobs,
                          std::uint64_t output_bytes) {
  TranscodeReport report;
  report.certificate = jobs.certificate();
  report.matrices = jobs.matrices();
  report.resumed_tensors = jobs.resumed();
  report.rounded_values = jobs.rounded_values();
  report.input_bytes = file.bytes().size();
  report.output_bytes = output_bytes;
  return report;
}

// What will be loaded is read as a loader reads it before its tensors are made.
Result<void> check_head(const OutputFile& output) {
  TERN_ASSIGN(const auto file, format::GgufFile::open(output.part()));
  TERN_TRY(arch::read_decoder_config(file));
  return {};
}

Result<TranscodeReport> transcode_file(const TranscodeOptions& options,
                                       const format::GgufFile& file) {
  TERN_ASSIGN(const TranscodePlan plan, make_transcode_plan(options, file));
  TERN_ASSIGN(OutputFile output,
              OutputFile::open(options.output, plan.fingerprint, plan.layout.file_bytes));
  TERN_ASSIGN(const auto team, Team::create(options.threads, options.stop));
  TERN_TRY(output.require_space());
  TERN_TRY(output.write(0, plan.layout.head));
  TERN_TRY(check_head(output));
  TranscodeJobs jobs(file, plan.jobs, output, *team, options.progress);
  TERN_TRY(jobs.run());
  TERN_TRY(check_source(options, file));
  TranscodeReport report = report_of(file, jobs, plan.layout.file_bytes);
  report.scales_beside = plan.scales_beside;
  TERN_TRY(check_identity(report.certificate, output, *team, jobs.second_half()));
  TERN_TRY(plan.tilings.write());
  TERN_TRY(output.commit());
  return report;
}

Result<TranscodeReport> pack(TranscodeOptions options, const format::GgufFile& file) {
  TERN_ASSIGN(options.output, StagedFolder::find_place(options.output));
  TERN_ASSIGN(const PackedPlan plan, plan_packed(options, file));
  TERN_ASSIGN(const StagedFolder folder, StagedFolder::open(options.output));
  TERN_ASSIGN(OutputFile output,
              OutputFile::open(folder.weights(), plan.fingerprint, plan.file_bytes));
  TERN_ASSIGN(const auto team, Team::create(options.threads, options.stop));
  TERN_TRY(output.require_space());
  TERN_TRY(output.write(0, std::as_bytes(std::span(plan.head))));
  TranscodeJobs jobs(file, plan.jobs, output, *team, options.progress);
  TERN_TRY(jobs.run());
  TERN_TRY(check_source(options, file));
  TranscodeReport report = report_of(file, jobs, plan.file_bytes);
  report.not_carried = plan.not_carried;
  TERN_TRY(check_packed_identity(report.certificate, plan, output, *team, jobs.second_half()));
  for (const auto& [name, text] : plan.files) {
    TERN_TRY(folder.write(name, text));
    report.output_bytes += text.size();
  }
  TERN_TRY(output.commit());
  TERN_TRY(folder.commit());
  return report;
}

Result<TranscodeReport> transcode_folder(const TranscodeOptions& options) {
  if (!options.ternary) {
    return Error{ErrorCode::kUnsupported,
                 "from a folder to a folder is not supported; transcode it to a GGUF file (--type "
                 "i2_s), and that to a folder",
                 options.source.string()};
  }
  TERN_ASSIGN(const auto folder, open_folder(options.source));
  ConvertOptions job;
  job.source = folder.get();
  job.output = options.output;
  job.ternary = *options.ternary;
  job.head = options.head.value_or(format::TensorType::kF16);
  job.threads = options.threads;
  job.progress = options.progress;
  job.stop = options.stop;
  job.certify = true;
  TERN_ASSIGN(const ConvertReport found, convert(job));
  TranscodeReport report;
  report.certificate = found.certificate;
  report.matrices = found.matrices;
  report.scales_beside = found.scales_beside;
  report.resumed_tensors = found.resumed_tensors;
  report.rounded_values = found.rounded_values;
  report.input_bytes = found.input_bytes;
  report.output_bytes = found.output_bytes;
  return report;
}

}  // namespace

Result<TranscodeReport> transcode(const TranscodeOptions& options) {
  std::error_code ignored;
  if (fs::is_directory(options.source, ignored)) return transcode_folder(options);
  if (options.ternary) TERN_TRY(refuse_same_file(options.source, options.output));
  TERN_ASSIGN(const auto file, format::GgufFile::open(options.source));
  return options.ternary ? transcode_file(options, file) : pack(options, file);
}

}  // namespace tern::convert
