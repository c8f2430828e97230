// GGUF files of keys, and what read_decoder_config() makes of them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arch/gguf_dialect.h"
#include "format/gguf/gguf_writer.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::arch {

using format::GgufFile;
using format::GgufWriter;
using test::TinyModel;

// A file of keys and no tensor but those that a test adds: what the tiny model cannot express.
struct KeyFile {
  std::string architecture = "bitnet-b1.58";
  std::string without = {};  // a key, less the architecture, that is left out
  std::function<void(GgufWriter&)> more = nullptr;  // further keys
  std::vector<std::string> tensors = {};            // further tensors, one f32 row of 64
  std::uint32_t hidden = 64, heads = 2, kv_heads = 1, layers = 1, ffn = 128;
  std::uint32_t vocab = 8, rows = 8;
  float epsilon = 1e-5f, theta = 10000.0f;
};

class Dialect : public ::testing::Test {
 protected:
  Result<DecoderConfig> read(const KeyFile& f) {
    GgufWriter writer;
    const auto set = [&](const std::string& suffix, format::GgufWriterValue value) {
      if (suffix != f.without) writer.set(f.architecture + "." + suffix, std::move(value));
    };
    if (f.without != "general.architecture") writer.set("general.architecture", f.architecture);
    set("block_count", f.layers);
    set("embedding_length", f.hidden);
    set("feed_forward_length", f.ffn);
    set("attention.head_count", f.heads);
    set("attention.head_count_kv", f.kv_heads);
    set("context_length", std::uint32_t{512});
    set("attention.layer_norm_rms_epsilon", f.epsilon);
    set("rope.freq_base", f.theta);
    set("vocab_size", f.vocab);
    if (f.more) f.more(writer);
    const std::vector<std::byte> embedding(std::size_t{64} * f.rows * 4);
    if (f.rows != 0) {
      writer.add_tensor("token_embd.weight", format::TensorType::kF32, {64, f.rows}, embedding);
    }
    const std::vector<std::byte> row(64 * 4);
    for (const std::string& name : f.tensors) {
      writer.add_tensor(name, format::TensorType::kF32, {64}, row);
    }
    return read(writer);
  }

  Result<DecoderConfig> read(const TinyModel& model) {
    return open(test::write_tiny_model(directory_.path(), model));
  }

  Result<DecoderConfig> read(const DecoderConfig& config) {
    GgufWriter writer;
    write_decoder_config(config, writer);
    const std::vector<std::byte> embedding(std::size_t{config.hidden} * config.vocab * 4);
    writer.add_tensor("token_embd.weight", format::TensorType::kF32, {config.hidden, config.vocab},
                      embedding);
    return read(writer);
  }

  void expect_error(const KeyFile& file, ErrorCode code, const std::string& context,
                    const std::string& message) {
    const auto config = read(file);
    ASSERT_FALSE(config.ok()) << "expected: " << message;
    EXPECT_EQ(name(config.error().code), name(code));
    EXPECT_EQ(config.error().context, (directory_ / "keys.gguf").string() + ": " + context);
    EXPECT_EQ(config.error().message, message);
  }

 private:
  Result<DecoderConfig> read(const GgufWriter& writer) {
    const auto path = directory_ / "keys.gguf";
    if (auto written = writer.write(path); !written) {
      throw std::runtime_error(written.error().to_string());
    }
    return open(path);
  }
  Result<DecoderConfig> open(const std::filesystem::path& path) {
    auto file = GgufFile::open(path);
    if (!file) throw std::runtime_error(file.error().to_string());
    return read_decoder_config(*file);
  }

  test::TemporaryDirectory directory_;
};

constexpr auto kMalformed = ErrorCode::kMalformed;
constexpr auto kUnsupported = ErrorCode::kUnsupported;

}  // namespace tern::arch
