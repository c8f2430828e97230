// The options of commands that let a model write: which model, how long, sampled how.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/progress.h"
#include "engine/generate.h"

namespace tern::cli {

struct GenerationOptions {
  std::string model;
  ComputeOptions compute;
  model::HeadMode head = model::HeadMode::kAuto;
  std::int64_t max_tokens = -1;  // -1: to the end of the text or of the context
  std::uint32_t context = 0;     // 0: what the model was trained for
  engine::SamplingOptions sampling;
  std::int64_t seed = -1;  // -1: chosen at random
  std::vector<std::string> stops;
  bool verify = true;
};

// `options` outlives the parser.
void add_generation_options(CLI::App& parser, GenerationOptions& options);

// Lengths, stops and sampling, with a seed.
engine::GenerateRequest request_of(const GenerationOptions& options);

// A copy of the head that no sample would use is not made. Errors: those of Sampler::create.
Result<model::HeadMode> head_mode(const GenerationOptions& options);
// Says why there is no such copy, where it was expected.
void report_head(const model::Model& model, Progress& progress);

inline constexpr std::uint32_t kPrefillChunk = 64;  // small enough for progress that moves

}  // namespace tern::cli
