#include "convert/transcode.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include "arch/gguf_dialect.h"
#include "convert/certificate.h"
#include "convert/convert.h"
#include "convert/encode_row.h"
#include "convert/output_file.h"
#include "convert/team.h"
#include "convert/transcode_plan.h"
#include "core/fast_hash.h"
#include "core/folder.h"
#include "format/float_blocks.h"
#include "format/gguf/gguf_text.h"
#include "text/tokenizer.h"

namespace tern::convert {
namespace {

namespace fs = std::filesystem;
using Kind = TranscodeJob::Kind;

constexpr std::uint64_t kChunk = std::uint64_t{1} << 20;

std::uint64_t chunks_of(std::uint64_t bytes) { return (bytes + kChunk - 1) / kChunk; }

// Errors where writing the output would destroy the input.
Result<void> refuse_same_file(const fs::path& source, const fs::path& output) {
  for (const char* suffix : {"", ".part", ".journal"}) {
    fs::path written = output;
    written += suffix;
    std::error_code ignored;
    if (!fs::equivalent(source, written, ignored)) continue;
    return Error{ErrorCode::kUsage,
                 "input and output are the same file; write to another and rename it",
                 written.string()};
  }
  std::error_code ignored;
  if (!fs::is_directory(output, ignored)) return {};
  return Error{ErrorCode::kUsage, "expected a file to write, found a folder", output.string()};
}

class Transcoder {
 public:
  Transcoder(const TranscodeOptions& options, const format::GgufFile& file, TranscodePlan plan,
             OutputFile output, Team& team)
      : options_(options),
        file_(file),
        plan_(std::move(plan)),
        output_(std::move(output)),
        team_(team) {}

  Result<TranscodeReport> run() {
    TERN_TRY(output_.require_space());
    TERN_TRY(output_.write(0, plan_.layout.head));
    TERN_TRY(check_head());
    for (const TranscodeJob& job : plan_.jobs) total_ += job.bytes;
    total_ *= 2;  // written, then read again
    for (std::size_t i = 0; i < plan_.jobs.size(); ++i) {
      TERN_TRY(run_job(i));
      report_progress(plan_.jobs[i].bytes);
    }
    return finish();
  }

 private:
  Result<void> check_head() const {
    TERN_ASSIGN(const auto file, format::GgufFile::open(output_.part()));
    TERN_TRY(arch::read_decoder_config(file));
    return {};
  }

  void report_progress(std::uint64_t bytes) {
    done_ += bytes;
    if (options_.progress) options_.progress(std::min(done_, total_), total_);
  }

  // What the journal has is believed where the bytes still have their hash; the trits of its source
  // are certified all the same.
  Result<void> run_job(std::size_t index) {
    const TranscodeJob& job = plan_.jobs[index];
    bool finished = false;
    if (const auto recorded = output_.recorded(index)) {
      TERN_ASSIGN(const std::uint64_t found, hash(job));
      finished = found == recorded->hash;
      resumed_ += finished ? 1 : 0;
      rounded_ += finished ? recorded->rounded : 0;
    }
    if (job.kind == Kind::kTernary) TERN_TRY(transcode_trits(job, finished));
    if (finished) return {};
    std::uint64_t rounded = 0;
    if (job.kind == Kind::kCopy) TERN_TRY(copy(job));
    if (job.kind == Kind::kScale) {
      TERN_TRY(output_.write(job.begin, std::as_bytes(std::span(&job.scale, 1))));
    }
    if (job.kind == Kind::kRows) {
      TERN_ASSIGN(rounded, encode_rows(job));
    }
    rounded_ += rounded;
    TERN_ASSIGN(const std::uint64_t written, hash(job));
    return output_.record(index, {written, rounded});
  }

  Result<void> transcode_trits(const TranscodeJob& job, bool finished) {
    const TritSource& trits = job.trits.front();
    const format::TernaryEncoder& encoder = job.encoder.front();
    const std::uint64_t step = encoder.row_step();
    MatrixCertificate matrix(job.name, trits.rows(), trits.columns());
    const format::TernaryEncoder::Put put = [&](std::uint64_t at,
                                                std::span<const std::byte> bytes) {
      return output_.write(job.begin + at, bytes);
    };
    const Team::Task transcode_tile = [&](std::uint64_t tile, Scratch& scratch) -> Result<void> {
      const auto [first, count] = trits.tile(tile, step);
      TERN_TRY(trits.read(first, count, scratch.trits));
      matrix.add_rows(first, count, scratch.trits.data());
      if (finished) return {};
      return encoder.encode(first, count, scratch.trits.data(), scratch.out, put);
    };
    TERN_TRY(team_.run(trits.tiles(step), transcode_tile));
    file_.release(*job.source);
    certificate_.add(matrix, trits.scale());
    return finished ? Result<void>() : encoder.finish(put);
  }

  Result<void> copy(const TranscodeJob& job) {
    const std::span<const std::byte> bytes = job.source->data;
    return team_.run(chunks_of(bytes.size()), [&](std::uint64_t chunk, Scratch&) {
      const auto part =
          bytes.subspan(chunk * kChunk).first(std::min(kChunk, bytes.size() - chunk * kChunk));
      auto written = output_.write(job.begin + chunk * kChunk, part);
      file_.release(part);
      return written;
    });
  }

  Result<std::uint64_t> encode_rows(const TranscodeJob& job) {
    const format::Tensor& source = *job.source;
    const std::uint64_t columns = source.columns();
    const std::uint64_t in_bytes = format::row_bytes(source.type, columns);
    const std::uint64_t out_bytes = format::row_bytes(job.type, columns);
    const std::uint64_t rows = std::max<std::uint64_t>(1, kChunk / 4 / columns);  // of a tile
    std::atomic<std::uint64_t> rounded{0};
    const std::uint64_t tiles = (source.rows() + rows - 1) / rows;
    const Team::Task encode_tile = [&](std::uint64_t tile, Scratch& scratch) -> Result<void> {
      const std::uint64_t first = tile * rows;
      const std::uint64_t count = std::min(rows, source.rows() - first);
      const auto part = source.data.subspan(first * in_bytes, count * in_bytes);
      scratch.values.resize(columns);
      scratch.out.resize(count * out_bytes);
      for (std::uint64_t r = 0; r < count; ++r) {
        format::dequantize_row(source.type, part.data() + r * in_bytes, columns,
                               scratch.values.data());
        TERN_TRY(encode_row_of(job, scratch, scratch.out.data() + r * out_bytes, rounded));
      }
      file_.release(part);
      return output_.write(job.begin + first * out_bytes, scratch.out);
    };
    TERN_TRY(team_.run(tiles, encode_tile));
    return rounded.load();
  }

  Result<void> encode_row_of(const TranscodeJob& job, const Scratch& scratch, std::byte* out,
                             std::atomic<std::uint64_t>& rounded) const {
    Result<void> outcome;
    if (std::ranges::all_of(scratch.values, [](float v) { return std::isfinite(v); })) {
      outcome = encode_row(job.type, scratch.values, out, rounded);
    } else {
      outcome = Error{ErrorCode::kMalformed, "a value is NaN or infinite", ""};
    }
    if (outcome) return {};
    return in_context(file_.source() + ": tensor " + format::in_quotes(job.name),
                      std::move(outcome.error()));
  }

  // Of the bytes that the output holds.
  Result<std::uint64_t> hash(const TranscodeJob& job) {
    std::vector<std::uint64_t> hashes(chunks_of(job.bytes));
    const Team::Task hash_chunk = [&](std::uint64_t chunk, Scratch& scratch) -> Result<void> {
      scratch.in.resize(std::min(kChunk, job.bytes - chunk * kChunk));
      TERN_TRY(output_.read(job.begin + chunk * kChunk, scratch.in));
      hashes[chunk] = fast_hash(scratch.in);
      return {};
    };
    TERN_TRY(team_.run(hashes.size(), hash_chunk));
    return fast_hash(std::as_bytes(std::span(hashes)));
  }

  Result<void> check_source() const {
    TERN_ASSIGN(const MappedFile now, MappedFile::open(options_.source));
    const FileIdentity& after = now.identity();
    const FileIdentity before = *file_.identity();
    if (after.inode == before.inode && after.size == before.size &&
        after.modified == before.modified && after.changed == before.changed) {
      return {};
    }
    return Error{ErrorCode::kIo, "the file changed while it was transcoded; transcode it again",
                 file_.source()};
  }

  Result<TranscodeReport> finish() {
    TranscodeReport report;
    report.certificate = certificate_.finish();
    report.matrices = certificate_.matrices();
    report.scales_beside = plan_.scales_beside;
    report.resumed_tensors = resumed_;
    report.rounded_values = rounded_;
    report.input_bytes = file_.bytes().size();
    report.output_bytes = plan_.layout.file_bytes;
    TERN_TRY(check_source());
    const std::uint64_t half = total_ / 2;
    const auto progress = [&](std::uint64_t done, std::uint64_t total) {
      const double share = static_cast<double>(done) / static_cast<double>(total);
      done_ = half + static_cast<std::uint64_t>(share * static_cast<double>(half));
      report_progress(0);
    };
    TERN_TRY(check_identity(report.certificate, output_, team_, progress));
    TERN_TRY(plan_.tilings.write());
    TERN_TRY(output_.commit());
    return report;
  }

  const TranscodeOptions& options_;
  const format::GgufFile& file_;
  TranscodePlan plan_;
  OutputFile output_;
  Team& team_;
  Certificate certificate_;
  std::uint64_t resumed_ = 0;
  std::uint64_t rounded_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

Result<TranscodeReport> transcode_folder(const TranscodeOptions& options) {
  TERN_ASSIGN(const auto folder, open_folder(options.source));
  ConvertOptions job;
  job.source = folder.get();
  job.output = options.output;
  job.ternary = options.ternary;
  job.head = options.head.value_or(format::TensorType::kF16);
  job.threads = options.threads;
  job.progress = options.progress;
  job.stop = options.stop;
  job.certify = true;
  for (const auto& entry : fs::directory_iterator(options.source)) {
    if (entry.path().extension() != ".safetensors") continue;
    TERN_TRY(refuse_same_file(entry.path(), options.output));
  }
  TERN_ASSIGN(const ConvertReport found, convert(job));
  TranscodeReport report;
  report.certificate = found.certificate;
  report.matrices = found.matrices;
  report.scales_beside = found.scales_beside;
  report.rounded_values = found.rounded_values;
  report.input_bytes = found.input_bytes;
  report.output_bytes = found.output_bytes;
  return report;
}

}  // namespace

Result<TranscodeReport> transcode(const TranscodeOptions& options) {
  std::error_code ignored;
  if (fs::is_directory(options.source, ignored)) return transcode_folder(options);
  TERN_TRY(refuse_same_file(options.source, options.output));
  TERN_ASSIGN(const auto file, format::GgufFile::open(options.source));
  TERN_ASSIGN(TranscodePlan plan, make_transcode_plan(options, file));
  TERN_ASSIGN(OutputFile output,
              OutputFile::open(options.output, plan.fingerprint, plan.layout.file_bytes));
  TERN_ASSIGN(const auto team, Team::create(options.threads, options.stop));
  return Transcoder(options, file, std::move(plan), std::move(output), *team).run();
}

}  // namespace tern::convert
