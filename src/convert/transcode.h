// From one ternary type to another: trits, scales and their direction stay as they are, and every
// run proves it. All else of a GGUF file is copied as it is, but for embedding and head where
// another type is asked for; or it becomes what a checkpoint's folder has for it.
//
// Memory does not grow with the model. An end at any point leaves the work beside the output, and
// the same call goes on with it; but where it comes just as a finished folder is put at its place,
// the next call begins anew.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/result.h"
#include "format/tensor.h"

namespace tern::convert {

struct TranscodeOptions {
  // A GGUF file whose linears are ternary, or floats that are; or a checkpoint's folder, as
  // convert() takes it.
  std::filesystem::path source;
  std::filesystem::path output;
  // None: the output is the folder of a checkpoint, its weights packed uint8 in model.safetensors,
  // its layers multiply by their weight_scale.
  std::optional<format::TensorType> ternary = format::TensorType::kI2_S;
  // Of embedding and output: f16, q8_0 or q6_k. Without it they are copied (from a folder: f16). A
  // checkpoint has floats: f16 alone, and without it what is no float becomes f32.
  std::optional<format::TensorType> head = {};
  std::uint32_t threads = 1;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
  std::stop_token stop = {};
};

struct TranscodeReport {
  std::string certificate;  // before and after
  std::size_t matrices = 0;
  std::size_t scales_beside = 0;  // that the type cannot hold: f32 tensors NAME.scale
  std::uint64_t resumed_tensors = 0;
  std::uint64_t rounded_values = 0;  // of embedding and head that f16 cannot hold
  std::uint64_t input_bytes = 0;
  std::uint64_t output_bytes = 0;
  std::vector<std::string> not_carried;  // keys for which a checkpoint has no place
};

// Errors: kUsage where source and output are one file, and where the folder to write has something
// in it; kIo, kMalformed, kUnsupported (naming the tensor that the type cannot hold, or what a
// checkpoint cannot say), kProofFailed where the certificates differ.
Result<TranscodeReport> transcode(const TranscodeOptions& options);

}  // namespace tern::convert
