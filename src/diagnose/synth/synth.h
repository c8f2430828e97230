// Writes models of random weights with the shape of real ones: they load, prove themselves and
// compute finite logits, and cost what the real ones cost. The same options give the same bytes on
// every machine. Needs a few dozen megabytes of memory, whatever the size of the model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>

#include "core/result.h"
#include "diagnose/synth/shapes.h"
#include "format/tensor.h"

namespace tern::diagnose {

struct SynthOptions {
  SynthShape shape;
  std::uint32_t layers = 0;                                // 0: as many as the shape has
  format::TensorType ternary = format::TensorType::kI2_S;  // or tq1_0, tq2_0
  format::TensorType head = format::TensorType::kF16;  // f16, q8_0 or q6_k: embedding and output
  std::uint64_t seed = 0;
  // Called now and then with the bytes of weights written so far, and all of them.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = nullptr;
  std::stop_token stop = {};
};

// The bytes of weights written. Errors: kUsage for a type that the shape cannot have; kIo, also
// where the disk lacks the room (nothing is written then) and where `stop` was asked for. After an
// error the path holds what it held before.
Result<std::uint64_t> write_synth_model(const std::filesystem::path& path,
                                        const SynthOptions& options);

}  // namespace tern::diagnose
