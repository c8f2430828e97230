// What a step of so many tokens of one prompt costs behind so many that were taken before.
//
// usage: bench_prompt_chunks MODEL THREADS DEPTH REPETITIONS CHUNK...
// Prints, for each chunk, the median milliseconds of a step and of one of its tokens. The chunks
// are measured in turns; keys and values before them are made up, and each step ends with the head
// of its last token.
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

double milliseconds(engine::Sequence& sequence, std::size_t depth, std::size_t chunk) {
  const std::vector<text::TokenId> tokens(chunk, 7);
  const auto start = std::chrono::steady_clock::now();
  must(sequence.append(tokens, {.top = engine::TopLogits{1, sequence.model().config().vocab, {}}}));
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  if (auto cut = sequence.truncate(depth); !cut) throw std::runtime_error(cut.error().to_string());
  return time.count();
}

void run(std::span<char*> words) {
  const auto& table = kernels::best_table(detect_cpu_features());
  const auto backend =
      must(backend::CpuBackend::create(table, static_cast<std::uint32_t>(number(words[1]))));
  const auto model = must(model::Model::load(must(format::GgufFile::open(words[0])), *backend));
  const std::size_t depth = number(words[2]);
  const std::size_t repetitions = number(words[3]);
  std::vector<std::size_t> chunks;
  for (const char* word : words.subspan(4)) chunks.push_back(number(word));
  auto sequence = must(engine::Sequence::create(
      model, {.context = static_cast<std::uint32_t>(depth + 512), .prefill_chunk = 512}));
  if (auto done = sequence.pretend(std::vector<text::TokenId>(depth, 7)); !done) {
    throw std::runtime_error(done.error().to_string());
  }
  std::vector<std::vector<double>> times(chunks.size());
  for (std::size_t i = 0; i < repetitions; ++i) {
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      times[c].push_back(milliseconds(sequence, depth, chunks[c]));
    }
  }
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const double median = diagnose::quartiles(times[c]).median;
    std::printf("%zu tokens: %.2f ms, %.3f ms each\n", chunks[c], median,
                median / static_cast<double>(chunks[c]));
  }
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: %s MODEL THREADS DEPTH REPETITIONS CHUNK...\n", argv[0]);
    return 2;
  }
  try {
    tern::run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_prompt_chunks: %s\n", error.what());
    return 1;
  }
}
