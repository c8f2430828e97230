#include "convert/tensor_job.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <optional>

#include "convert/encode_row.h"
#include "convert/float_bits.h"
#include "convert/row_order.h"
#include "core/fast_hash.h"
#include "format/float_blocks.h"
#include "format/gguf/gguf_text.h"
#include "format/ternary_encoder.h"

namespace tern::convert {
namespace {

using arch::HfRole;
using arch::HfWeights;
using format::SafetensorsFile;

constexpr std::uint64_t kHashChunk = std::uint64_t{1} << 20;

Error in_tensor(const SafetensorsFile& file, const TensorJob& job, ErrorCode code,
                std::string message) {
  return Error{code, std::move(message),
               file.where() + ": tensor " + format::in_quotes(job.source->name)};
}

std::uint64_t ceil_div(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

Result<void> run_both(const Team::Task& beside, Scratch& scratch) {
  TERN_TRY(beside(0, scratch));
  return beside(1, scratch);
}

}  // namespace

std::string scale_beside_name(std::string_view weight) {
  return std::string(weight.substr(0, weight.rfind('.'))) + ".scale";
}

Result<format::TernaryEncoder> encoder_of(const TensorJob& job, float scale) {
  return format::TernaryEncoder::create(job.type, job.shape.rows, job.shape.columns,
                                        job.scale_beside ? 1.0f : scale, job.tiling);
}

// A ternary matrix on its way: what is measured of it, and its tiles.
class TensorConverter::Ternary {
 public:
  // `output`: nullptr for who wants the certificate alone.
  Ternary(TensorConverter& converter, const TensorJob& job, const OutputFile* output)
      : job_(job),
        file_(converter.checkpoint_.files()[job.file]),
        output_(output),
        team_(converter.team_),
        rows_(job.shape.rows),
        columns_(job.shape.columns),
        row_bytes_(columns_ * format::element_bytes(job.source->type)),
        scale_(job.scale),
        packed_(job.weights == HfWeights::kPackedDivide ||
                job.weights == HfWeights::kPackedMultiply) {
    read_rows_ = std::max<std::uint64_t>(1, converter.tile_bytes_ / row_bytes_);
  }

  Result<void> convert(const Team::Task& beside) {
    const bool two_passes = job_.weights == HfWeights::kOnline;
    if (two_passes) TERN_TRY(measure_mean(beside));
    if (job_.weights == HfWeights::kTernaryFloats) TERN_TRY(find_magnitude());
    if (output_ != nullptr) TERN_TRY(choose_encoder());
    choose_tiles();
    const std::uint64_t rows = quarters_ ? rows_ / 4 : rows_;
    const std::uint64_t tiles = ceil_div(rows, tile_rows_);
    TERN_TRY(team_.run(tiles + 1, [&](std::uint64_t tile, Scratch& scratch) -> Result<void> {
      if (tile == 0) return two_passes ? beside(1, scratch) : run_both(beside, scratch);
      const std::uint64_t first = (tile - 1) * tile_rows_;
      const std::uint64_t count = std::min(tile_rows_, rows - first);
      return quarters_ ? write_quarters(first, count, scratch) : write_rows(first, count, scratch);
    }));
    if (job_.certificate != nullptr) *job_.certificate_scale = scale_;
    if (output_ == nullptr) return {};
    if (job_.scale_beside) {
      TERN_TRY(output_->write(job_.scale_begin, std::as_bytes(std::span(&scale_, 1))));
    }
    return encoder_->finish(to_output());
  }

 private:
  Error fault(ErrorCode code, std::string message) const {
    return in_tensor(file_, job_, code, std::move(message));
  }

  Result<void> read_source_rows(std::uint64_t first, std::uint64_t count, std::byte* out) const {
    return file_.read(job_.source->offset + first * row_bytes_, std::span(out, count * row_bytes_));
  }

  // The mean of the magnitudes of online weights; their sums are those of rows, added in order, so
  // that neither threads nor tiles change a bit.
  Result<void> measure_mean(const Team::Task& beside) {
    std::vector<double> sums(rows_);
    const std::uint64_t tiles = ceil_div(rows_, read_rows_);
    TERN_TRY(team_.run(tiles + 1, [&](std::uint64_t tile, Scratch& scratch) {
      if (tile == 0) return beside(0, scratch);
      const std::uint64_t first = (tile - 1) * read_rows_;
      return add_rows(first, std::min(read_rows_, rows_ - first), scratch, sums);
    }));
    double sum = 0.0;
    for (const double row : sums) sum += row;
    const double mean = sum / static_cast<double>(rows_ * columns_);
    scale_ = std::max(static_cast<float>(mean), 1e-5f);
    if (!std::isfinite(mean)) return fault(ErrorCode::kMalformed, "a weight is NaN or infinite");
    border_ = largest_zero(job_.source->type, scale_);
    return {};
  }

  Result<void> add_rows(std::uint64_t first, std::uint64_t count, Scratch& scratch,
                        std::vector<double>& sums) const {
    scratch.in.resize(count * row_bytes_);
    TERN_TRY(read_source_rows(first, count, scratch.in.data()));
    for (std::uint64_t row = 0; row < count; ++row) {
      sums[first + row] =
          sum_of_magnitudes(job_.source->type, scratch.in.data() + row * row_bytes_, columns_);
    }
    return {};
  }

  // The one magnitude of floats that are ternary; the tiles find out whether there is another.
  Result<void> find_magnitude() {
    std::vector<std::byte> bytes;
    for (std::uint64_t row = 0; row < rows_ && border_ == 0; row += read_rows_) {
      const std::uint64_t count = std::min(read_rows_, rows_ - row);
      bytes.resize(count * row_bytes_);
      TERN_TRY(read_source_rows(row, count, bytes.data()));
      border_ = first_magnitude(job_.source->type, bytes.data(), count * columns_);
    }
    scale_ = magnitude_value(job_.source->type, border_);
    if (border_ == 0) return fault(ErrorCode::kMalformed, "all weights are zero");
    if (!std::isfinite(scale_)) return fault(ErrorCode::kMalformed, "a weight is NaN or infinite");
    return {};
  }

  // Tiles are whole parts of the type.
  Result<void> choose_encoder() {
    auto encoder = encoder_of(job_, scale_);
    if (!encoder) return fault(encoder.error().code, encoder.error().message);
    encoder_ = *encoder;
    return {};
  }

  void choose_tiles() {
    const std::uint64_t step = encoder_ ? encoder_->row_step() : 1;
    quarters_ = packed_ && job_.shape.neighbour_head == 0 && rows_ / 4 % step == 0;
    tile_rows_ = std::max<std::uint64_t>(1, read_rows_ / step) * step;
  }

  format::TernaryEncoder::Put to_output() const {
    return [this](std::uint64_t at, std::span<const std::byte> bytes) {
      return output_->write(job_.begin + at, bytes);
    };
  }

  // Encodes `count` rows of scratch.trits and writes them as rows `first`... of the output, if
  // there is one.
  Result<void> put(std::uint64_t first, std::uint64_t count, Scratch& scratch) const {
    if (job_.certificate != nullptr) {
      job_.certificate->add_rows(first, count, scratch.trits.data());
    }
    if (output_ == nullptr) return {};
    return encoder_->encode(first, count, scratch.trits.data(), scratch.out, to_output());
  }

  // A row of packed bytes holds a row of each quarter of the matrix.
  Result<void> write_quarters(std::uint64_t first, std::uint64_t count, Scratch& scratch) const {
    scratch.in.resize(count * row_bytes_);
    scratch.trits.resize(count * columns_);
    TERN_TRY(read_source_rows(first, count, scratch.in.data()));
    TERN_TRY(check_codes(scratch.in));
    for (unsigned quarter = 0; quarter < 4; ++quarter) {
      unpack_quarter(scratch.in.data(), scratch.in.size(), quarter, scratch.trits.data());
      TERN_TRY(put(quarter * (rows_ / 4) + first, count, scratch));
    }
    return {};
  }

  Result<void> check_codes(std::span<const std::byte> packed) const {
    if (!has_code_3(packed)) return {};
    return fault(ErrorCode::kMalformed,
                 "a code is 3, which means no trit: the bytes are not packed trits");
  }

  // Any rows, in runs that are neighbours in the checkpoint, too.
  Result<void> write_rows(std::uint64_t first, std::uint64_t count, Scratch& scratch) const {
    scratch.trits.resize(count * columns_);
    for (std::uint64_t done = 0; done < count;) {
      const std::uint64_t from = checkpoint_row(first + done, job_.shape.neighbour_head);
      const std::uint64_t most = std::min(read_rows_, count - done);
      const std::uint64_t run = job_.shape.neighbour_head != 0 ? 1 : run_length(first + done, most);
      TERN_TRY(read_trits(from, run, scratch, scratch.trits.data() + done * columns_));
      done += run;
    }
    return put(first, count, scratch);
  }

  // Rows from `row` on that lie in one quarter of a packed matrix.
  std::uint64_t run_length(std::uint64_t row, std::uint64_t most) const {
    return packed_ ? std::min(most, rows_ / 4 - row % (rows_ / 4)) : most;
  }

  Result<void> read_trits(std::uint64_t row, std::uint64_t count, Scratch& scratch,
                          std::int8_t* trits) const {
    scratch.in.resize(count * row_bytes_);
    const std::uint64_t quarter = packed_ ? row / (rows_ / 4) : 0;
    TERN_TRY(read_source_rows(row - quarter * (rows_ / 4), count, scratch.in.data()));
    const std::uint64_t values = count * columns_;
    if (packed_) {
      TERN_TRY(check_codes(scratch.in));
      unpack_quarter(scratch.in.data(), values, static_cast<unsigned>(quarter), trits);
    } else if (job_.weights == HfWeights::kOnline) {
      trits_above(job_.source->type, scratch.in.data(), values, border_, trits);
    } else if (trits_of(job_.source->type, scratch.in.data(), values, border_, trits) != 0) {
      return fault(ErrorCode::kUnsupported,
                   "expected the weights 0 and +-" + std::to_string(scale_) +
                       " alone, found others: the matrix is not ternary, or has more than one "
                       "scale; a checkpoint of master weights says so in its quantization_config");
    }
    return {};
  }

  const TensorJob& job_;
  const SafetensorsFile& file_;
  const OutputFile* output_;
  Team& team_;
  std::uint64_t rows_;
  std::uint64_t columns_;
  std::uint64_t row_bytes_;  // in the checkpoint
  float scale_;
  bool packed_;
  std::uint32_t border_ = 0;  // online: the largest magnitude that is 0; floats: the one there is
  bool quarters_ = false;
  std::uint64_t read_rows_ = 1;  // at once, of the checkpoint
  std::uint64_t tile_rows_ = 1;
  std::optional<format::TernaryEncoder> encoder_;
};

Result<void> TensorConverter::convert_ternary(const TensorJob& job, const Team::Task& beside) {
  return Ternary(*this, job, &output_).convert(beside);
}

Result<void> TensorConverter::certify(const TensorJob& job, const Team::Task& beside) {
  return Ternary(*this, job, nullptr).convert(beside);
}

Result<std::uint64_t> TensorConverter::convert_floats(const TensorJob& job,
                                                      const Team::Task& beside) {
  std::atomic<std::uint64_t> rounded{0};
  const SafetensorsFile& file = checkpoint_.files()[job.file];
  const std::uint64_t columns = job.shape.columns;
  const std::uint64_t in_bytes = columns * format::element_bytes(job.source->type);
  const std::uint64_t out_bytes = format::row_bytes(job.type, columns);
  const std::uint64_t tile_rows = std::max<std::uint64_t>(1, tile_bytes_ / (2 * in_bytes));
  const std::uint64_t tiles = ceil_div(job.shape.rows, tile_rows);
  const auto convert_tile = [&](std::uint64_t tile, Scratch& scratch) -> Result<void> {
    if (tile == 0) return run_both(beside, scratch);
    const std::uint64_t first = (tile - 1) * tile_rows;
    const std::uint64_t count = std::min(tile_rows, job.shape.rows - first);
    scratch.in.resize(count * in_bytes);
    scratch.values.resize(columns);
    scratch.out.resize(count * out_bytes);
    TERN_TRY(file.read(job.source->offset + first * in_bytes, scratch.in));
    for (std::uint64_t row = 0; row < count; ++row) {
      widen(job.source->type, scratch.in.data() + row * in_bytes, columns, scratch.values.data());
      for (float& value : scratch.values) {
        if (!std::isfinite(value)) {
          return in_tensor(file, job, ErrorCode::kMalformed, "a value is NaN or infinite");
        }
        if (job.offset != 0.0f) value += job.offset;  // of -0 the sum with 0 would be +0
      }
      auto encoded =
          encode_row(job.type, scratch.values, scratch.out.data() + row * out_bytes, rounded);
      if (!encoded) return in_tensor(file, job, encoded.error().code, encoded.error().message);
    }
    return output_.write(job.begin + first * out_bytes, scratch.out);
  };
  TERN_TRY(team_.run(tiles + 1, convert_tile));
  return rounded.load();
}

Result<std::uint64_t> TensorConverter::convert(const TensorJob& job, const Team::Task& beside) {
  if (job.shape.role != HfRole::kTernary) return convert_floats(job, beside);
  TERN_TRY(convert_ternary(job, beside));
  return std::uint64_t{0};
}

Result<std::uint64_t> TensorConverter::hash(const TensorJob& job) {
  std::vector<std::uint64_t> hashes(ceil_div(job.bytes, kHashChunk));
  const auto hash_chunk = [&](std::uint64_t chunk, Scratch& scratch) -> Result<void> {
    const std::uint64_t begin = chunk * kHashChunk;
    scratch.in.resize(std::min(kHashChunk, job.bytes - begin));
    TERN_TRY(output_.read(job.begin + begin, scratch.in));
    hashes[chunk] = fast_hash(scratch.in);
    return {};
  };
  TERN_TRY(team_.run(hashes.size(), hash_chunk));
  if (job.scale_beside) {
    auto& beside = hashes.emplace_back(0);
    TERN_TRY(output_.read(job.scale_begin, std::as_writable_bytes(std::span(&beside, 1)).first(4)));
  }
  return fast_hash(std::as_bytes(std::span(hashes)));
}

}  // namespace tern::convert
