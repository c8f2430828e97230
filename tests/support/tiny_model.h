// Small random models of any shape, the same bytes for the same seed with every compiler.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "format/gguf/gguf_writer.h"
#include "format/tensor.h"

namespace tern::test {

using KeyMap = std::map<std::string, format::GgufWriterValue>;

struct TinyModel {
  std::string architecture = "bitnet-b1.58";
  std::uint32_t layers = 2;
  std::uint32_t hidden = 128;
  std::uint32_t ffn = 384;
  std::uint32_t heads = 4;
  std::uint32_t kv_heads = 2;
  std::uint32_t head_dim = 32;
  std::uint32_t vocab = 96;
  std::uint32_t context = 700;
  bool tied = true;
  bool input_norms = false;   // one before each linear
  bool rope_factors = false;  // rope_freqs.weight, as llama models may have
  format::TensorType head_type = format::TensorType::kF16;
  format::TensorType ternary_type = format::TensorType::kI2_S;  // others: widths of 256s
  float scale = 0.05f;  // other types than i2_s store it as f16
  std::uint64_t seed = 1;

  // Changes a tensor's bytes before they are written; returning false leaves the tensor out.
  std::function<bool(const std::string& name, std::vector<std::byte>& bytes)> tamper = nullptr;
  // Adds, replaces or erases keys.
  std::function<void(KeyMap&)> keys = nullptr;
};

// Writes the model and returns its path. Throws on failure: a test cannot go on.
std::filesystem::path write_tiny_model(const std::filesystem::path& directory,
                                       const TinyModel& model);

// `count` pseudo-random tokens of the vocabulary.
std::vector<std::int32_t> tiny_tokens(const TinyModel& model, std::size_t count);

}  // namespace tern::test
