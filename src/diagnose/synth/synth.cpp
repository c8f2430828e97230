#include "diagnose/synth/synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "arch/gguf_dialect.h"
#include "core/float16.h"
#include "diagnose/synth/random_bytes.h"
#include "diagnose/synth/vocabulary.h"
#include "format/float_blocks.h"
#include "format/gguf/gguf_writer.h"
#include "format/ternary_matrix.h"

namespace tern::diagnose {
namespace {

using format::GgufWriter;
using format::TensorType;

constexpr std::uint64_t kChunkTrits = 81920;  // whole bytes of five trits, whole blocks of any type
constexpr std::uint64_t kChunkValues = 65536;  // of an embedding; about, in whole rows

// Draws from one stream of the seed, in the order of the file.
class TernarySource {
 public:
  TernarySource(RandomBytes random, TensorType type, std::uint64_t columns, std::uint64_t elements)
      : random_(random), type_(type), elements_(elements), scale_(draw_scale(columns)) {}

  Result<void> write(const GgufWriter::Sink& sink) {
    std::vector<std::int8_t> trits(kChunkTrits + RandomBytes::kTritSlack);
    std::vector<std::byte> bytes;
    for (std::uint64_t left = elements_; left != 0;) {
      const std::uint64_t count = std::min(left, kChunkTrits);
      random_.fill_trits(trits.data(), count);
      bytes.clear();
      format::encode_trits(type_, trits.data(), count, scale_, bytes);
      left -= count;
      if (left == 0) format::end_trits(type_, scale_, bytes);
      TERN_TRY(sink(bytes));
    }
    return {};
  }

 private:
  // A matrix of uniform trits times this keeps the size of its input; 1/8 more or less tells the
  // tensors apart. Rounded to f16, so that every ternary type can store it.
  float draw_scale(std::uint64_t columns) {
    const double jitter = 1.0 + (random_.next() - 128) / 1024.0;
    const double scale = jitter * std::sqrt(1.5 / static_cast<double>(columns));
    return f16_to_f32(f32_to_f16(static_cast<float>(scale)));
  }

  RandomBytes random_;
  TensorType type_;
  std::uint64_t elements_;
  float scale_;
};

// Rows of an embedding: quants of -127 to 127, uniform, times 2^-12. f16 and q8_0 store them
// exactly; q6_k their six high bits.
class MatrixSource {
 public:
  MatrixSource(RandomBytes random, TensorType type, std::uint64_t columns, std::uint64_t rows)
      : random_(random), type_(type), columns_(columns), rows_(rows) {
    for (std::size_t i = 0; i < halves_.size(); ++i) {
      halves_[i] = f32_to_f16(static_cast<float>(quant(i)) * kStep);
    }
  }

  Result<void> write(const GgufWriter::Sink& sink) {
    const std::uint64_t row_bytes = format::row_bytes(type_, columns_);
    const std::uint64_t chunk = std::max<std::uint64_t>(1, kChunkValues / columns_);
    std::vector<std::byte> bytes(chunk * row_bytes);
    std::vector<std::uint8_t> random(columns_);
    for (std::uint64_t row = 0; row < rows_;) {
      const std::uint64_t count = std::min(chunk, rows_ - row);
      for (std::uint64_t r = 0; r < count; ++r) {
        for (std::uint8_t& byte : random) byte = random_.next();
        encode(random, bytes.data() + r * row_bytes);
      }
      TERN_TRY(sink(std::span(bytes).first(count * row_bytes)));
      row += count;
    }
    return {};
  }

 private:
  static constexpr float kStep = 0x1p-12f;

  static std::int8_t quant(std::size_t byte) {
    return static_cast<std::int8_t>(std::max(-127, static_cast<int>(byte) - 128));
  }

  void encode(const std::vector<std::uint8_t>& random, std::byte* row) const {
    if (type_ == TensorType::kF16) {
      for (std::size_t i = 0; i < random.size(); ++i) {
        std::memcpy(row + 2 * i, &halves_[random[i]], sizeof(std::uint16_t));
      }
      return;
    }
    const std::uint16_t step = f32_to_f16(kStep);
    std::array<std::int8_t, 16> scales{};
    scales.fill(4);
    std::array<std::int8_t, 256> quants{};
    const std::uint64_t block = format::block_elements(type_);
    for (std::size_t at = 0; at < random.size(); at += block) {
      for (std::size_t i = 0; i < block; ++i) quants[i] = quant(random[at + i]);
      std::byte* out = row + at / block * format::block_bytes(type_);
      if (type_ == TensorType::kQ8_0) {
        format::pack_q8_0(step, quants.data(), out);
      } else {
        for (std::int8_t& q : quants) q = static_cast<std::int8_t>(q >> 2);
        format::pack_q6_k(step, scales.data(), quants.data(), out);
      }
    }
  }

  RandomBytes random_;
  TensorType type_;
  std::uint64_t columns_;
  std::uint64_t rows_;
  std::array<std::uint16_t, 256> halves_{};
};

// Weights of 1, an eighth more or less.
Result<void> write_norm(RandomBytes random, std::uint64_t width, const GgufWriter::Sink& sink) {
  std::vector<float> weights(width);
  for (float& weight : weights) {
    weight = 1.0f + static_cast<float>(random.next() - 128) * 0x1p-10f;
  }
  return sink(std::as_bytes(std::span(weights)));
}

class SynthWriter {
 public:
  SynthWriter(const SynthOptions& options, arch::DecoderConfig config)
      : options_(options), config_(std::move(config)) {}

  Result<std::uint64_t> write(const std::filesystem::path& path) {
    arch::write_decoder_config(config_, writer_);
    write_synth_vocabulary(config_.vocab, writer_);
    matrix(arch::kTokenEmbedding);
    for (std::uint32_t layer = 0; layer < config_.layers; ++layer) block(layer);
    norm(std::string(arch::kOutputNorm), config_.hidden);
    if (!config_.tied_embedding) matrix(arch::kOutput);
    TERN_TRY(writer_.write(path));
    return total_;
  }

 private:
  void block(std::uint32_t layer) {
    using enum arch::BlockTensor;
    const auto named = [&](arch::BlockTensor role) { return arch::block_tensor_name(layer, role); };
    norm(named(kAttentionNorm), config_.hidden);
    ternary(named(kQuery), config_.hidden, config_.query_width());
    ternary(named(kKey), config_.hidden, config_.kv_width());
    ternary(named(kValue), config_.hidden, config_.kv_width());
    norm(named(kAttentionSubNorm), config_.query_width());
    ternary(named(kAttentionOutput), config_.query_width(), config_.hidden);
    norm(named(kFfnNorm), config_.hidden);
    ternary(named(kGate), config_.hidden, config_.ffn);
    ternary(named(kUp), config_.hidden, config_.ffn);
    norm(named(kFfnSubNorm), config_.ffn);
    ternary(named(kDown), config_.ffn, config_.hidden);
  }

  void norm(std::string name, std::uint64_t width) {
    add(std::move(name), TensorType::kF32, {width}, width * sizeof(float),
        [width](RandomBytes random, const GgufWriter::Sink& sink) {
          return write_norm(random, width, sink);
        });
  }

  void ternary(std::string name, std::uint64_t columns, std::uint64_t rows) {
    const TensorType type = options_.ternary;
    const std::uint64_t bytes = type == TensorType::kI2_S ? format::i2_s_bytes(columns * rows)
                                                          : rows * format::row_bytes(type, columns);
    add(std::move(name), type, {columns, rows}, bytes,
        [type, columns, rows](RandomBytes random, const GgufWriter::Sink& sink) {
          return TernarySource(random, type, columns, columns * rows).write(sink);
        });
  }

  void matrix(std::string_view name) {
    const std::uint64_t columns = config_.hidden;
    const std::uint64_t rows = config_.vocab;
    const TensorType type = options_.head;
    add(std::string(name), type, {columns, rows}, rows * format::row_bytes(type, columns),
        [type, columns, rows](RandomBytes random, const GgufWriter::Sink& sink) {
          return MatrixSource(random, type, columns, rows).write(sink);
        });
  }

  // `produce(random, sink)` gives the bytes; each tensor has its own stream.
  template <typename Produce>
  void add(std::string name, TensorType type, std::vector<std::uint64_t> shape, std::uint64_t bytes,
           Produce produce) {
    const RandomBytes random(options_.seed, streams_++);
    total_ += bytes;
    writer_.add_tensor(std::move(name), type, std::move(shape),
                       [this, random, produce](const GgufWriter::Sink& sink) {
                         return produce(random, watched(sink));
                       });
  }

  // Counts what goes to the sink, and ends it where an end was asked for.
  GgufWriter::Sink watched(const GgufWriter::Sink& sink) {
    return [this, &sink](std::span<const std::byte> bytes) -> Result<void> {
      if (options_.stop.stop_requested()) return Error{ErrorCode::kIo, "interrupted", ""};
      TERN_TRY(sink(bytes));
      done_ += bytes.size();
      if (options_.progress) options_.progress(done_, total_);
      return {};
    };
  }

  const SynthOptions& options_;
  arch::DecoderConfig config_;
  GgufWriter writer_;
  std::uint32_t streams_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

Result<void> require_whole_blocks(const SynthShape& shape, TensorType type, std::uint64_t columns) {
  const std::uint64_t block = format::block_elements(type);
  if (block == 0 || columns % block == 0) return {};
  return Error{ErrorCode::kUsage,
               "rows of " + std::string(name(type)) + " are a multiple of " +
                   std::to_string(block) + " values, and this shape has rows of " +
                   std::to_string(columns) + "; choose another type",
               "shape " + std::string(shape.name)};
}

}  // namespace

Result<std::uint64_t> write_synth_model(const std::filesystem::path& path,
                                        const SynthOptions& options) {
  TERN_TRY(require_whole_blocks(options.shape, options.head, options.shape.hidden));
  TERN_TRY(require_whole_blocks(options.shape, options.ternary, options.shape.hidden));
  TERN_TRY(require_whole_blocks(options.shape, options.ternary, options.shape.ffn));
  const std::uint32_t layers = options.layers == 0 ? options.shape.layers : options.layers;
  return SynthWriter(options, synth_config(options.shape, layers)).write(path);
}

}  // namespace tern::diagnose
