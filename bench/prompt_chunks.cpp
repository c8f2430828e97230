// What a step of so many tokens of one prompt costs behind so many that were taken before, while
// others decode in the same step.
//
// usage: bench_prompt_chunks MODEL THREADS DEPTH REPETITIONS OTHERS BEHIND CHUNK...
// Prints, for each chunk, the median milliseconds of a step, and what each of its tokens adds to a
// step of the others alone, who decode behind so many tokens each. The chunks are measured in
// turns; keys and values are made up. Who decodes asks for the head, the prompt, as inside of a
// long one, does not.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "diagnose/measure/statistics.h"
#include "engine/sequence.h"
#include "engine/stepper.h"
#include "kernels/registry.h"
#include "model/model.h"

namespace tern {
namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

std::size_t number(const char* text) { return std::strtoul(text, nullptr, 10); }

constexpr std::size_t kMostChunk = 512;

class Steps {
 public:
  Steps(const model::Model& model, std::size_t depth, std::size_t others, std::size_t behind)
      : stepper_(must(engine::Stepper::create(model, options(depth, others, behind)))) {
    sequences_.push_back(make(depth));
    for (std::size_t i = 0; i < others; ++i) sequences_.push_back(make(behind));
  }

  double milliseconds(std::size_t chunk) {
    const std::vector<text::TokenId> tokens(std::max(chunk, std::size_t{1}), 7);
    const engine::TopLogits greedy{1, stepper_->model().config().vocab, {}};
    std::vector<engine::Advance> work;
    for (auto& sequence : sequences_) {
      const bool prompt = &sequence == &sequences_.front();
      if (prompt && chunk == 0) continue;
      work.push_back({&sequence, std::span(tokens).first(prompt ? chunk : 1),
                      engine::Advance::Logits::kNone,
                      prompt ? std::nullopt : std::optional(greedy)});
    }
    const auto start = std::chrono::steady_clock::now();
    check(stepper_->step(work));
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    for (const auto& advance : work) {
      check(advance.sequence->truncate(advance.sequence->tokens().size() - advance.tokens.size()));
    }
    return time.count();
  }

 private:
  static void check(const Result<void>& done) {
    if (!done) throw std::runtime_error(done.error().to_string());
  }
  static engine::StepperOptions options(std::size_t depth, std::size_t others, std::size_t behind) {
    const auto pages = [](std::size_t tokens) {
      return backend::KvPool::pages_for(static_cast<std::uint32_t>(tokens + kMostChunk));
    };
    return {.rows = static_cast<std::uint32_t>(kMostChunk + others),
            .pages = pages(depth) + static_cast<std::uint32_t>(others) * pages(behind)};
  }
  engine::Sequence make(std::size_t depth) {
    auto sequence = must(engine::Sequence::create(*stepper_));
    check(sequence.pretend(std::vector<text::TokenId>(depth, 7)));
    return sequence;
  }

  std::unique_ptr<engine::Stepper> stepper_;
  std::vector<engine::Sequence> sequences_;
};

void run(std::span<char*> words) {
  const auto& table = kernels::best_table(detect_cpu_features());
  const auto backend =
      must(backend::CpuBackend::create(table, static_cast<std::uint32_t>(number(words[1]))));
  const auto model = must(model::Model::load(must(format::GgufFile::open(words[0])), *backend));
  const std::size_t repetitions = number(words[3]);
  const std::size_t others = number(words[4]);
  const std::size_t behind = number(words[5]);
  std::vector<std::size_t> chunks(others == 0 ? 0 : 1);  // the others alone
  for (const char* word : words.subspan(6)) chunks.push_back(number(word));
  Steps steps(model, number(words[2]), others, behind);
  std::vector<std::vector<double>> times(chunks.size());
  for (std::size_t i = 0; i < repetitions; ++i) {
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      times[c].push_back(steps.milliseconds(chunks[c]));
    }
  }
  const double alone = others == 0 ? 0.0 : diagnose::quartiles(times[0]).median;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const double median = diagnose::quartiles(times[c]).median;
    std::printf("%zu tokens: %.2f ms", chunks[c], median);
    if (chunks[c] > 0)
      std::printf(", %.3f ms each", (median - alone) / static_cast<double>(chunks[c]));
    std::printf("\n");
  }
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  if (argc < 8) {
    std::fprintf(stderr, "usage: %s MODEL THREADS DEPTH REPETITIONS OTHERS BEHIND CHUNK...\n",
                 argv[0]);
    return 2;
  }
  try {
    tern::run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_prompt_chunks: %s\n", error.what());
    return 1;
  }
}
