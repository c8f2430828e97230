#include "convert/transcode_jobs.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "convert/encode_row.h"
#include "convert/row_order.h"
#include "core/fast_hash.h"
#include "format/float_blocks.h"
#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

using Kind = TranscodeJob::Kind;

constexpr std::uint64_t kChunk = std::uint64_t{1} << 20;

std::uint64_t chunks_of(std::uint64_t bytes) { return (bytes + kChunk - 1) / kChunk; }

// Adds the codes of trits to one quarter of the bits of packed bytes.
void add_codes(const std::vector<std::int8_t>& trits, unsigned quarter, std::byte* packed) {
  for (std::size_t i = 0; i < trits.size(); ++i) {
    packed[i] |= static_cast<std::byte>((trits[i] + 1) << (2 * quarter));
  }
}

// False where adding it again would not give the same numbers.
bool take_offset(float offset, std::vector<float>& values) {
  for (float& value : values) {
    const float without = value - offset;
    if (without + offset != value) return false;
    value = without;
  }
  return true;
}

}  // namespace

TranscodeJobs::TranscodeJobs(const format::GgufFile& file, const std::vector<TranscodeJob>& jobs,
                             OutputFile& output, Team& team, const Progress& progress)
    : file_(file), jobs_(jobs), output_(output), team_(team), progress_(progress) {
  for (const TranscodeJob& job : jobs) total_ += job.bytes;
  total_ *= 2;  // written, then read again
}

Result<void> TranscodeJobs::run() {
  std::uint64_t done = 0;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    TERN_TRY(run_job(i));
    done += jobs_[i].bytes;
    if (progress_) progress_(done, total_);
  }
  return {};
}

TranscodeJobs::Progress TranscodeJobs::second_half() const {
  return [&progress = progress_, half = total_ / 2](std::uint64_t done, std::uint64_t total) {
    const double share = static_cast<double>(done) / static_cast<double>(total);
    const auto read = static_cast<std::uint64_t>(share * static_cast<double>(half));
    if (progress) progress(half + std::min(read, half), 2 * half);
  };
}

Result<void> TranscodeJobs::run_job(std::size_t index) {
  const TranscodeJob& job = jobs_[index];
  bool finished = false;
  if (const auto recorded = output_.recorded(index)) {
    TERN_ASSIGN(const std::uint64_t found, hash(job));
    finished = found == recorded->hash;
    resumed_ += finished ? 1 : 0;
    rounded_ += finished ? recorded->rounded : 0;
  }
  if (job.kind == Kind::kTernary) TERN_TRY(transcode_trits(job, finished));
  if (job.kind == Kind::kPacked) TERN_TRY(pack_trits(job, finished));
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

Result<void> TranscodeJobs::transcode_trits(const TranscodeJob& job, bool finished) {
  const TritSource& trits = job.trits.front();
  const format::TernaryEncoder& encoder = job.encoder.front();
  const std::uint64_t step = encoder.row_step();
  MatrixCertificate matrix(job.name, trits.rows(), trits.columns());
  const format::TernaryEncoder::Put put = [&](std::uint64_t at, std::span<const std::byte> bytes) {
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

// A row of packed bytes has a row of each quarter of the matrix, in the order of the checkpoint.
Result<void> TranscodeJobs::pack_trits(const TranscodeJob& job, bool finished) {
  const TritSource& trits = job.trits.front();
  const std::uint64_t columns = trits.columns();
  const std::uint64_t quarter_rows = trits.rows() / 4;
  const std::uint64_t tile_rows = std::max<std::uint64_t>(1, kChunk / 4 / columns);
  MatrixCertificate matrix(job.name, trits.rows(), columns);
  const Team::Task pack_tile = [&](std::uint64_t tile, Scratch& scratch) -> Result<void> {
    const std::uint64_t first = tile * tile_rows;
    const std::uint64_t count = std::min(tile_rows, quarter_rows - first);
    const std::uint64_t run = job.neighbour_head == 0 ? count : 1;  // of rows in the same order
    scratch.out.assign(count * columns, std::byte{0});
    for (unsigned quarter = 0; quarter < 4; ++quarter) {
      for (std::uint64_t done = 0; done < count; done += run) {
        const std::uint64_t row =
            gguf_row(quarter * quarter_rows + first + done, job.neighbour_head);
        TERN_TRY(trits.read(row, run, scratch.trits));
        matrix.add_rows(row, run, scratch.trits.data());
        add_codes(scratch.trits, quarter, scratch.out.data() + done * columns);
      }
    }
    return finished ? Result<void>() : output_.write(job.begin + first * columns, scratch.out);
  };
  TERN_TRY(team_.run((quarter_rows + tile_rows - 1) / tile_rows, pack_tile));
  file_.release(*job.source);
  certificate_.add(matrix, trits.scale());
  return {};
}

Result<void> TranscodeJobs::copy(const TranscodeJob& job) {
  const std::span<const std::byte> bytes = job.source->data;
  return team_.run(chunks_of(bytes.size()), [&](std::uint64_t chunk, Scratch&) {
    const auto part =
        bytes.subspan(chunk * kChunk).first(std::min(kChunk, bytes.size() - chunk * kChunk));
    auto written = output_.write(job.begin + chunk * kChunk, part);
    file_.release(part);
    return written;
  });
}

Result<std::uint64_t> TranscodeJobs::encode_rows(const TranscodeJob& job) {
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
      TERN_TRY(encode_row_of(job, scratch.values, scratch.out.data() + r * out_bytes, rounded));
    }
    file_.release(part);
    return output_.write(job.begin + first * out_bytes, scratch.out);
  };
  TERN_TRY(team_.run(tiles, encode_tile));
  return rounded.load();
}

Result<void> TranscodeJobs::encode_row_of(const TranscodeJob& job, std::vector<float>& values,
                                          std::byte* out,
                                          std::atomic<std::uint64_t>& rounded) const {
  Result<void> outcome;
  if (!std::ranges::all_of(values, [](float v) { return std::isfinite(v); })) {
    outcome = Error{ErrorCode::kMalformed, "a value is NaN or infinite", ""};
  } else if (!take_offset(job.offset, values)) {
    outcome = Error{ErrorCode::kUnsupported,
                    "a checkpoint has this gain less " + std::to_string(job.offset) +
                        ", and no f32 is that exactly",
                    ""};
  } else {
    outcome = encode_row(job.type, values, out, rounded);
  }
  if (outcome) return {};
  return in_context(file_.source() + ": tensor " + format::in_quotes(job.name),
                    std::move(outcome.error()));
}

// Of the bytes that the output holds.
Result<std::uint64_t> TranscodeJobs::hash(const TranscodeJob& job) {
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

}  // namespace tern::convert
