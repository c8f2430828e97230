#include "cli/runtime.h"

#include <chrono>
#include <string>
#include <utility>

#include "cli/packed_weights.h"
#include "cli/printable.h"
#include "cli/streams.h"
#include "cli/tuning.h"
#include "core/machine.h"

namespace tern::cli {
namespace {

// The embedding may be padded beyond the vocabulary, but every token needs its row.
Result<void> require_embeddings(const model::Model& model, const text::Tokenizer& tokenizer) {
  if (tokenizer.vocab_size() <= model.config().vocab) return {};
  return Error{ErrorCode::kMalformed,
               "the vocabulary has " + std::to_string(tokenizer.vocab_size()) +
                   " tokens, but the embedding has rows for " +
                   std::to_string(model.config().vocab) + "; convert the model again",
               model.file().source() + ": tokenizer.ggml.tokens"};
}

// `stale`, on entry: whether the cache's entry is to be replaced. On return: whether loading failed
// because of what it took from the entry, or may have.
Result<Runtime> load_once(const std::string& path, const ComputeOptions& compute, bool verify,
                          model::HeadMode head, Progress& progress, const std::stop_token& stop,
                          bool& stale) {
  const auto start = std::chrono::steady_clock::now();
  TERN_ASSIGN(const kernels::KernelTable* tier, choose_tier(compute.tier));
  TERN_ASSIGN(format::GgufFile file, open_model(path));
  TERN_ASSIGN(text::Tokenizer tokenizer, text::Tokenizer::from_gguf(file));
  TERN_ASSIGN(MachineTuning tuning,
              tuning_for(compute.tune, {tier, compute.threads}, file, stop, progress));
  TERN_ASSIGN(std::unique_ptr<backend::CpuBackend> backend,
              backend::CpuBackend::create(*tier, tuning.threads));
  backend->use_tuning(std::move(tuning.plans));
  PackedWeights packed(compute, file, *backend);
  if (stale) packed.discard();
  model::LoadOptions options;
  options.verify = verify;
  options.head = head;
  options.available_memory = available_memory();
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.show("load", done, total);
  };
  auto loaded = model::Model::load(std::move(file), *backend, options);
  stale = !loaded && loaded.error().code == ErrorCode::kProofFailed && packed.took_any();
  TERN_ASSIGN(model::Model model, std::move(loaded));
  TERN_TRY(require_embeddings(model, tokenizer));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const std::size_t compared = packed.compared();
  packed.finish(model.proof().proved, progress);
  return Runtime{std::move(backend),
                 std::move(model),
                 std::move(tokenizer),
                 seconds.count(),
                 packed.outcome(),
                 std::move(tuning.outcome),
                 std::move(tuning.threads_from),
                 compared};
}

}  // namespace

Result<Runtime> load_runtime(const std::string& path, const ComputeOptions& compute, bool verify,
                             model::HeadMode head, Progress& progress,
                             const std::stop_token& stop) {
  bool stale = false;
  auto runtime = load_once(path, compute, verify, head, progress, stop, stale);
  if (!stale || compute.compare_cache) return runtime;
  progress.clear();
  write_stderr("tern: cache: the packed weights do not pass the proof; packed again\n");
  return load_once(path, compute, verify, head, progress, stop, stale);
}

std::string model_name(const model::Model& model) {
  return printable(model.config().name.empty() ? model.file().source() : model.config().name);
}

}  // namespace tern::cli
