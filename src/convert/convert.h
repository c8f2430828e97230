// From a Hugging Face checkpoint to a GGUF file.
//
// Two passes: everything is planned and checked first, then the tensors are streamed in the order
// of the checkpoint's bytes, tile by tile, straight to their type. Memory does not grow with the
// model. An end at any point leaves the work beside the output, and the same call goes on with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "core/folder.h"
#include "core/result.h"
#include "format/tensor.h"

namespace tern::convert {

struct ConvertOptions {
  const Folder* source = nullptr;  // of the checkpoint; borrowed
  std::filesystem::path output;
  format::TensorType ternary = format::TensorType::kI2_S;  // or another ternary type
  format::TensorType head = format::TensorType::kF16;      // or kQ8_0, kQ6_K; the embedding, too
  std::uint32_t threads = 1;
  std::uint64_t max_ram = std::uint64_t{400} << 20;
  bool certify = false;  // see ConvertReport: all trits are read, those of finished tensors, too
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // bytes of the checkpoint
  std::stop_token stop;
};

struct ConvertReport {
  std::string architecture;
  std::uint64_t tensors = 0;
  std::uint64_t resumed_tensors = 0;  // that an earlier call had finished
  std::uint64_t rounded_values = 0;   // of embedding and head that f16 cannot hold
  std::uint64_t input_bytes = 0;
  std::uint64_t output_bytes = 0;
  std::string output_sha256;
  // Of the checkpoint's trits as they were read, and of the finished file's: the same, or there is
  // no file. Empty where it was not asked for.
  std::string certificate;
  std::size_t matrices = 0;       // in it
  std::size_t scales_beside = 0;  // that the type may not hold: f32 tensors NAME.scale
};

// Writes the file and, beside it, OUTPUT.manifest.json with the hashes of inputs and output.
// Errors: kUsage, kIo, kMalformed, kUnsupported, each naming file and tensor or setting;
// kOutOfMemory where max_ram is too little; kProofFailed where the certificates differ.
Result<ConvertReport> convert(const ConvertOptions& options);

}  // namespace tern::convert
