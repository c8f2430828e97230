#include "convert/convert.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "arch/gguf_dialect.h"
#include "convert/certificate.h"
#include "convert/manifest.h"
#include "convert/output_file.h"
#include "convert/plan.h"
#include "convert/team.h"
#include "convert/tensor_job.h"
#include "core/sha256.h"
#include "format/gguf/gguf_file.h"
#include "text/tokenizer.h"

namespace tern::convert {
namespace {

using format::SafetensorsFile;
using format::SafetensorsTensor;

constexpr std::uint64_t kMostTile = std::uint64_t{4} << 20;
constexpr std::uint64_t kLeastTile = std::uint64_t{64} << 10;
// What a thread holds for each byte that it reads at once, at most: the bytes, a trit for each in
// four rows, and what they become.
constexpr std::uint64_t kScratchFactor = 8;
// The program, names and places of tensors, and the vocabulary while it is read.
constexpr std::uint64_t kFixedRam = std::uint64_t{200} << 20;
constexpr std::uint64_t kHashChunk = std::uint64_t{1} << 20;

std::string_view name_of(arch::HfWeights weights) {
  switch (weights) {
    case arch::HfWeights::kPackedDivide: return "bitlinear";
    case arch::HfWeights::kPackedMultiply: return "autobitlinear";
    case arch::HfWeights::kOnline: return "online";
    default: return "float";
  }
}

Result<std::uint64_t> tile_bytes_of(const ConvertOptions& options) {
  const std::uint64_t least = kFixedRam + options.threads * kScratchFactor * kLeastTile;
  if (options.max_ram < least) {
    return Error{ErrorCode::kOutOfMemory,
                 "with " + std::to_string(options.threads) + " threads at least " +
                     std::to_string(least >> 20) + " MB are needed, allowed are " +
                     std::to_string(options.max_ram >> 20),
                 ""};
  }
  const std::uint64_t each = (options.max_ram - kFixedRam) / options.threads / kScratchFactor;
  return std::min(kMostTile, each);
}

class Converter {
 public:
  Converter(const ConvertOptions& options, Plan plan, OutputFile output, Team& team,
            std::uint64_t tile_bytes)
      : options_(options),
        plan_(std::move(plan)),
        output_(std::move(output)),
        team_(team),
        tensors_(plan_.checkpoint, output_, team, tile_bytes) {}

  Result<ConvertReport> run() {
    TERN_TRY(output_.require_space());
    TERN_TRY(write_head());
    TERN_TRY(check_head());
    index_jobs();
    for (std::size_t file = 0; file < plan_.checkpoint.files().size(); ++file) {
      TERN_TRY(convert_file(file));
    }
    return finish();
  }

 private:
  Result<void> write_head() {
    TERN_TRY(output_.write(0, plan_.layout.head));
    return output_.write(plan_.rope_begin == 0 ? 0 : plan_.rope_begin,
                         plan_.rope_begin == 0 ? std::span<const std::byte>()
                                               : std::as_bytes(std::span(plan_.rope_factors)));
  }

  // What will be loaded is read as a loader reads it before hours go into its tensors.
  Result<void> check_head() const {
    TERN_ASSIGN(const auto file, format::GgufFile::open(output_.part()));
    TERN_TRY(arch::read_decoder_config(file));
    TERN_TRY(text::Tokenizer::from_gguf(file));
    return {};
  }

  void index_jobs() {
    for (std::size_t i = 0; i < plan_.jobs.size(); ++i) jobs_[plan_.jobs[i].source] = i;
    for (const SafetensorsFile& file : plan_.checkpoint.files()) total_ += file.source().size();
  }

  // Its tensors in the order of their bytes, and beside them the hash of all of it.
  Result<void> convert_file(std::size_t index) {
    const SafetensorsFile& file = plan_.checkpoint.files()[index];
    TERN_ASSIGN(const bool finished, was_finished(index));
    if (finished) return {};
    Sha256 hash;
    std::uint64_t at = 0;
    for (const SafetensorsTensor& tensor : file.tensors()) {
      const std::uint64_t end = tensor.offset + tensor.bytes;
      const std::uint64_t middle = at + (end - at) / 2;
      TERN_TRY(file.source().prepare(at, end));
      const Team::Task hash_input = [&](std::uint64_t half, Scratch& scratch) {
        return half == 0 ? add_to_hash(file, at, middle, hash, scratch)
                         : add_to_hash(file, middle, end, hash, scratch);
      };
      const auto job = jobs_.find(&tensor);
      if (job == jobs_.end()) {
        TERN_TRY(hash_alone(hash_input));
      } else {
        TERN_TRY(convert_tensor(job->second, hash_input));
      }
      at = end;
      done_ += tensor.bytes;
      if (options_.progress) options_.progress(done_, total_);
    }
    TERN_TRY(file.source().check_unchanged());
    const std::string found = hash.finish();
    const std::string expected = file.source().expected_sha256();
    if (!expected.empty() && found != expected) {
      output_.discard();
      return Error{ErrorCode::kMalformed,
                   "the bytes have not the hash that the server lists: expected " + expected +
                       ", found " + found + "; what was made of them is removed",
                   file.where()};
    }
    inputs_.push_back({file.name(), file.source().size(), found});
    return expected.empty() ? Result<void>() : output_.record(finished_id(index), {});
  }

  // Behind the tensors, the journal has files whose bytes were those that a server had promised.
  std::size_t finished_id(std::size_t file) const { return plan_.jobs.size() + file; }

  // Such a file need not come from afar once more, where all that was made of it is still there.
  // One of this machine is read again: nobody has promised its bytes. So is one whose trits are to
  // be certified.
  Result<bool> was_finished(std::size_t index) {
    const SafetensorsFile& file = plan_.checkpoint.files()[index];
    const std::string expected = file.source().expected_sha256();
    if (options_.certify || expected.empty() || !output_.recorded(finished_id(index))) {
      return false;
    }
    std::uint64_t rounded = 0;
    std::uint64_t tensors = 0;
    for (const SafetensorsTensor& tensor : file.tensors()) {
      const auto job = jobs_.find(&tensor);
      if (job == jobs_.end()) continue;
      const auto recorded = output_.recorded(job->second);
      if (!recorded) return false;
      TERN_ASSIGN(const std::uint64_t hash, tensors_.hash(plan_.jobs[job->second]));
      if (hash != recorded->hash) return false;
      rounded += recorded->rounded;
      ++tensors;
    }
    rounded_ += rounded;
    resumed_ += tensors;
    for (const SafetensorsTensor& tensor : file.tensors()) done_ += tensor.bytes;
    inputs_.push_back({file.name(), file.source().size(), expected});
    return true;
  }

  static Result<void> add_to_hash(const SafetensorsFile& file, std::uint64_t begin,
                                  std::uint64_t end, Sha256& hash, Scratch& scratch) {
    for (std::uint64_t at = begin; at < end; at += kHashChunk) {
      scratch.in.resize(std::min(kHashChunk, end - at));
      TERN_TRY(file.read(at, scratch.in));
      hash.update(scratch.in);
    }
    return {};
  }

  Result<void> hash_alone(const Team::Task& hash_input) {
    TERN_TRY(team_.run(1, hash_input));
    const Team::Task second = [&](std::uint64_t, Scratch& scratch) {
      return hash_input(1, scratch);
    };
    return team_.run(1, second);
  }

  // One that the journal has is believed where its bytes still have their hash. The certificate
  // needs the trits all the same: they are read, and not written.
  Result<void> convert_tensor(std::size_t index, const Team::Task& hash_input) {
    const TensorJob& job = plan_.jobs[index];
    TERN_ASSIGN(const bool finished, is_finished(index));
    if (options_.certify && job.shape.role == arch::HfRole::kTernary) {
      return certify_one(index, finished, hash_input);
    }
    return finished ? hash_alone(hash_input) : convert_one(index, job, hash_input);
  }

  Result<bool> is_finished(std::size_t index) {
    const auto recorded = output_.recorded(index);
    if (!recorded) return false;
    TERN_ASSIGN(const std::uint64_t found, tensors_.hash(plan_.jobs[index]));
    if (found != recorded->hash) return false;
    ++resumed_;
    rounded_ += recorded->rounded;
    return true;
  }

  Result<void> convert_one(std::size_t index, const TensorJob& job, const Team::Task& hash_input) {
    TERN_ASSIGN(const std::uint64_t rounded, tensors_.convert(job, hash_input));
    TERN_ASSIGN(const std::uint64_t written, tensors_.hash(job));
    rounded_ += rounded;
    return output_.record(index, {written, rounded});
  }

  Result<void> certify_one(std::size_t index, bool finished, const Team::Task& hash_input) {
    TensorJob job = plan_.jobs[index];
    MatrixCertificate matrix(job.shape.ours, job.shape.rows, job.shape.columns);
    float scale = 0.0f;
    job.certificate = &matrix;
    job.certificate_scale = &scale;
    TERN_TRY(finished ? tensors_.certify(job, hash_input) : convert_one(index, job, hash_input));
    certificate_.add(matrix, scale);
    return {};
  }

  Result<ConvertReport> finish() {
    ConvertReport report;
    report.architecture = plan_.model.config.architecture;
    report.tensors = plan_.layout.offsets.size();
    report.resumed_tensors = resumed_;
    report.rounded_values = rounded_;
    for (const TensorJob& job : plan_.jobs) report.scales_beside += job.scale_beside ? 1 : 0;
    report.input_bytes = total_;
    report.output_bytes = plan_.layout.file_bytes;
    // The disk and the hash take about as long as each other.
    TERN_TRY(team_.run(2, [&](std::uint64_t task, Scratch& scratch) {
      return task == 0 ? hash_output(scratch, report.output_sha256) : output_.sync();
    }));
    if (options_.certify) {
      report.certificate = certificate_.finish();
      report.matrices = certificate_.matrices();
      TERN_TRY(check_identity(report.certificate, output_, team_));
    }
    TERN_TRY(write_manifest_of(report));
    TERN_TRY(plan_.tilings.write());
    TERN_TRY(output_.commit());
    return report;
  }

  Result<void> hash_output(Scratch& scratch, std::string& sha256) const {
    Sha256 hash;
    for (std::uint64_t at = 0; at < plan_.layout.file_bytes; at += kHashChunk) {
      scratch.in.resize(std::min(kHashChunk, plan_.layout.file_bytes - at));
      TERN_TRY(output_.read(at, scratch.in));
      hash.update(scratch.in);
    }
    sha256 = hash.finish();
    return {};
  }

  Result<void> write_manifest_of(const ConvertReport& report) {
    Manifest manifest;
    manifest.output = {options_.output.filename().string(), report.output_bytes,
                       report.output_sha256};
    manifest.inputs = inputs_;
    for (const std::string& name : plan_.files) {
      TERN_ASSIGN(HashedFile file, hash_file(*options_.source, name));
      manifest.inputs.push_back(std::move(file));
    }
    manifest.architecture = report.architecture;
    manifest.weights = name_of(plan_.model.weights);
    manifest.ternary = name(options_.ternary);
    manifest.head = name(options_.head);
    manifest.tensors = report.tensors;
    manifest.rounded_values = report.rounded_values;
    std::filesystem::path path = options_.output;
    path += ".manifest.json";
    return write_manifest(path, manifest);
  }

  const ConvertOptions& options_;
  Plan plan_;
  OutputFile output_;
  Team& team_;
  TensorConverter tensors_;
  std::map<const SafetensorsTensor*, std::size_t> jobs_;
  std::vector<HashedFile> inputs_;
  Certificate certificate_;
  std::uint64_t resumed_ = 0;
  std::uint64_t rounded_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

// Of a server's files none is the output.
Result<void> check_output(const ConvertOptions& options, const Plan& plan) {
  for (const std::string& name : plan.files) {
    TERN_TRY(refuse_same_file(options.source->where(name), options.output));
  }
  for (const format::SafetensorsFile& file : plan.checkpoint.files()) {
    TERN_TRY(refuse_same_file(file.where(), options.output));
  }
  return {};
}

}  // namespace

Result<ConvertReport> convert(const ConvertOptions& options) {
  TERN_ASSIGN(const std::uint64_t tile_bytes, tile_bytes_of(options));
  TERN_ASSIGN(Plan plan, make_plan(options));
  TERN_TRY(check_output(options, plan));
  TERN_ASSIGN(OutputFile output,
              OutputFile::open(options.output, plan.fingerprint, plan.layout.file_bytes));
  TERN_ASSIGN(const auto team, Team::create(options.threads, options.stop));
  Converter converter(options, std::move(plan), std::move(output), *team, tile_bytes);
  return converter.run();
}

}  // namespace tern::convert
