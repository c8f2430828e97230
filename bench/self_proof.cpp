// How long the self-proof takes on a model of the 2B-4T shape with random weights.
//
// usage: bench_self_proof DIRECTORY [THREADS]
// Writes a model of 1.2 GB into DIRECTORY, loads it seven times from the page cache, prints the
// median seconds of the proof and of the whole load, and removes the model.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "kernels/registry.h"
#include "model/model.h"
#include "support/tiny_model.h"

namespace {

constexpr int kRepetitions = 7;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int measure(const std::filesystem::path& path, std::uint32_t threads) {
  std::vector<double> proof;
  std::vector<double> load;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    tern::backend::CpuBackend backend(tern::kernels::best_table(tern::detect_cpu_features()),
                                      threads);
    auto file = tern::format::GgufFile::open(path);
    auto model = file ? tern::model::Model::load(std::move(*file), backend)
                      : tern::Result<tern::model::Model>(file.error());
    if (!model) {
      std::fprintf(stderr, "%s\n", model.error().to_string().c_str());
      return 1;
    }
    load.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    proof.push_back(model->proof().seconds);
  }
  std::printf("proof_seconds %.4f load_seconds %.4f\n", median(proof), median(load));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_self_proof DIRECTORY [THREADS]\n");
    return 2;
  }
  const tern::test::TinyModel shape{.layers = 30,
                                    .hidden = 2560,
                                    .ffn = 6912,
                                    .heads = 20,
                                    .kv_heads = 5,
                                    .head_dim = 128,
                                    .vocab = 128256,
                                    .context = 4096};
  const auto path = tern::test::write_tiny_model(argv[1], shape);
  const int status = measure(path, argc > 2 ? static_cast<std::uint32_t>(std::atoi(argv[2])) : 2);
  std::filesystem::remove(path);
  return status;
}
