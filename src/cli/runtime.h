// A model that is ready to compute, with all that it stands on.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern::cli {

struct Runtime {
  std::unique_ptr<backend::CpuBackend> backend;  // the model points to it
  model::Model model;
  text::Tokenizer tokenizer;
  double load_seconds = 0.0;  // the self-proof included
  std::string cache;          // PackedWeights::outcome()
  std::string tuning;         // MachineTuning::outcome
  std::string threads_from;   // MachineTuning::threads_from
  std::size_t compared = 0;   // PackedWeights::compared()
};

// A requested stop ends tuning, and no more: the model is loaded then. Where weights of the cache
// do not pass the proof, it is loaded again from its file, or, where they are to be compared, that
// is an error. Errors: those of open_model, choose_tier, Tokenizer, tuning_for and Model::load.
Result<Runtime> load_runtime(const std::string& path, const ComputeOptions& compute, bool verify,
                             model::HeadMode head, Progress& progress,
                             const std::stop_token& stop = {});

// "tern-tales", or the file's name where the model has none.
std::string model_name(const model::Model& model);

}  // namespace tern::cli
