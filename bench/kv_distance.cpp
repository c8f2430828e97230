// How far the logits of a model move when its keys and values are kept in int8 instead of f16.
//
// usage: bench_kv_distance MODEL TEXT [TOKENS]
// Computes the first TOKENS tokens of the text (without it as many as the context takes) both ways,
// and prints the largest and the mean distance of two logits of a position, as a share of the range
// of that position's logits in f16, and how often both have the same likeliest token.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "engine/sequence.h"
#include "kernels/registry.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace {

using namespace tern;

constexpr std::uint32_t kThreads = 2;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

// [tokens][vocab]
std::vector<float> logits_of(const model::Model& model, std::span<const text::TokenId> tokens,
                             format::KvType kv) {
  auto sequence = must(engine::Sequence::create(model, {.kv_type = kv}));
  std::vector<float> all;
  engine::Sequence::AppendOptions options;
  options.every_logit = [&](std::uint32_t, std::span<const float> row) {
    all.insert(all.end(), row.begin(), row.end());
  };
  must(sequence.append(tokens, options));
  return all;
}

void compare(const std::vector<float>& f16, const std::vector<float>& int8, std::size_t vocab) {
  double largest = 0.0;
  double total = 0.0;
  std::size_t alike = 0;
  const std::size_t positions = f16.size() / vocab;
  for (std::size_t position = 0; position < positions; ++position) {
    const float* a = &f16[position * vocab];
    const float* b = &int8[position * vocab];
    const auto [low, high] = std::minmax_element(a, a + vocab);
    const double range = static_cast<double>(*high) - static_cast<double>(*low);
    for (std::size_t i = 0; i < vocab; ++i) {
      const double share = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) / range;
      largest = std::max(largest, share);
      total += share;
    }
    alike += std::max_element(b, b + vocab) - b == high - a ? 1 : 0;
  }
  std::printf("positions %zu largest %.5f mean %.6f same_likeliest %.4f\n", positions, largest,
              total / static_cast<double>(f16.size()),
              static_cast<double>(alike) / static_cast<double>(positions));
}

void measure(const char* path, const char* text_path, std::size_t most) {
  std::ifstream file(text_path, std::ios::binary);
  if (!file) throw std::runtime_error(std::string(text_path) + ": cannot open");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto gguf = must(format::GgufFile::open(path));
  const auto tokenizer = must(text::Tokenizer::from_gguf(gguf));
  backend::CpuBackend backend(kernels::best_table(detect_cpu_features()), kThreads);
  const auto model = must(model::Model::load(std::move(gguf), backend));
  auto tokens = tokenizer.encode(text);
  tokens.resize(std::min<std::size_t>({tokens.size(), most, model.config().context}));
  compare(logits_of(model, tokens, format::KvType::kF16),
          logits_of(model, tokens, format::KvType::kInt8), model.config().vocab);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_kv_distance MODEL TEXT [TOKENS]\n");
    return 2;
  }
  try {
    measure(argv[1], argv[2], argc > 3 ? static_cast<std::size_t>(std::atoi(argv[3])) : ~0ull);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
  return 0;
}
