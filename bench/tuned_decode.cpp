// What a tuning gains on a whole model: two copies of it, one read as the tier does and one as the
// plans say, decode the same token in turns.
//
// usage: bench_tuned_decode MODEL TIER THREADS TOKENS [ROWS COLUMNS PACKING STREAMS PREFETCH]...
// PACKING is five-trits or two-bits. Prints the median milliseconds of a token of both, and the
// median and the quartiles of the ratio of the rates, tuned to own.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
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

backend::Tuning plans_of(std::span<char*> words, const kernels::KernelTable& tier) {
  backend::Tuning tuning;
  for (; words.size() >= 5; words = words.subspan(5)) {
    const auto number = [&](std::size_t i) { return std::strtoul(words[i], nullptr, 10); };
    const bool five = std::string(words[2]) == "five-trits";
    backend::MatrixPlan plan = backend::default_plan(tier);
    plan.packing = five ? kernels::Packing::kFiveTrits : kernels::Packing::kTwoBits;
    plan.read.streams = static_cast<std::uint32_t>(number(3));
    plan.read.prefetch_bytes = static_cast<std::uint32_t>(number(4));
    tuning[{number(0), number(1)}] = plan;
  }
  return tuning;
}

struct Decoder {
  Decoder(const char* path, const kernels::KernelTable& tier, std::uint32_t threads,
          std::uint32_t tokens, backend::Tuning tuning)
      : backend(must(backend::CpuBackend::create(tier, threads))) {
    backend->use_tuning(std::move(tuning));
    model = std::make_unique<model::Model>(
        must(model::Model::load(must(format::GgufFile::open(path)), *backend)));
    sequence = std::make_unique<engine::Sequence>(
        must(engine::Sequence::create(*model, {.context = tokens})));
  }
  double milliseconds() const {
    const std::vector<std::int32_t> token{1};
    const auto start = std::chrono::steady_clock::now();
    if (auto done =
            sequence->append(token, {.top = engine::TopLogits{1, model->config().vocab, {}}});
        !done) {
      throw std::runtime_error(done.error().to_string());
    }
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
  }

  std::unique_ptr<backend::CpuBackend> backend;
  std::unique_ptr<model::Model> model;
  std::unique_ptr<engine::Sequence> sequence;
};

void run(std::span<char*> words) {
  const auto tier = must(kernels::table_by_name(words[1], detect_cpu_features()));
  const auto threads = static_cast<std::uint32_t>(std::strtoul(words[2], nullptr, 10));
  const auto tokens = static_cast<std::uint32_t>(std::strtoul(words[3], nullptr, 10));
  Decoder own(words[0], *tier, threads, tokens + 1, {});
  Decoder tuned(words[0], *tier, threads, tokens + 1, plans_of(words.subspan(4), *tier));
  own.milliseconds();  // pages and caches as all others find them
  tuned.milliseconds();
  std::vector<double> own_times;
  std::vector<double> tuned_times;
  std::vector<double> ratios;
  for (std::uint32_t i = 0; i < tokens; ++i) {
    const bool own_first = i % 2 == 0;
    double first = (own_first ? own : tuned).milliseconds();
    double second = (own_first ? tuned : own).milliseconds();
    if (!own_first) std::swap(first, second);
    own_times.push_back(first);
    tuned_times.push_back(second);
    ratios.push_back(first / second);
  }
  const auto ratio = diagnose::quartiles(ratios);
  std::printf("own_ms %.3f tuned_ms %.3f ratio %.4f lower %.4f upper %.4f\n",
              diagnose::quartiles(own_times).median, diagnose::quartiles(tuned_times).median,
              ratio.median, ratio.lower, ratio.upper);
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  if (argc < 5 || argc % 5 != 0) {
    std::fprintf(stderr,
                 "usage: %s MODEL TIER THREADS TOKENS [ROWS COLUMNS PACKING STREAMS PREFETCH]...\n",
                 argv[0]);
    return 2;
  }
  try {
    tern::run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_tuned_decode: %s\n", error.what());
    return 1;
  }
  return 0;
}
