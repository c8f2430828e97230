// How fast the search for the largest logit reads the int8 copy of a head of the 2B-4T shape,
// beside how fast the machine reads; the same for full scans of an f16, a q8_0 and a q6_k head.
// Weights and activations are normal, so the count of rows computed exactly is that of random data.
//
// usage: bench_head_search [THREADS]
// Prints a line for each: name, milliseconds, GB/s, share of the ceiling, rows computed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "core/float16.h"
#include "diagnose/measure/read_ceiling.h"
#include "format/float_blocks.h"
#include "kernels/registry.h"

namespace {

using namespace tern;
using format::TensorType;

constexpr std::uint64_t kColumns = 2560;
constexpr std::uint64_t kRows = 128256;
constexpr int kRepetitions = 15;

format::Tensor matrix_of(TensorType type, std::uint64_t rows, std::span<const std::byte> bytes) {
  format::Tensor tensor;
  tensor.name = "output.weight";
  tensor.type = type;
  tensor.rank = 2;
  tensor.shape[0] = kColumns;
  tensor.shape[1] = rows;
  tensor.data = bytes;
  return tensor;
}

// A thousand rows of normal weights in turn. Those of f16 are turned by one more column each time,
// so that no two logits are alike; the full scans do not see the difference.
std::vector<std::byte> weights_of(TensorType type) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const std::size_t row_bytes = format::row_bytes(type, kColumns);
  constexpr std::size_t kDifferent = 1003;
  std::vector<std::byte> bytes(kRows * row_bytes);
  std::vector<float> row(kColumns);
  for (std::size_t r = 0; r < kRows; ++r) {
    std::byte* to = &bytes[r * row_bytes];
    if (r >= kDifferent) {
      const std::size_t turn = type == TensorType::kF16 ? sizeof(std::uint16_t) : 0;
      const std::byte* from = to - kDifferent * row_bytes;
      std::memcpy(to, from + turn, row_bytes - turn);
      std::memcpy(to + row_bytes - turn, from, turn);
      continue;
    }
    for (float& v : row) v = normal(random);
    if (type == TensorType::kQ8_0) format::quantize_row_q8_0(row.data(), kColumns, to);
    for (std::size_t i = 0; i < kColumns && type == TensorType::kF16; ++i) {
      const std::uint16_t half = f32_to_f16(row[i]);
      std::memcpy(to + 2 * i, &half, sizeof half);
    }
    for (std::size_t block = 0; block < row_bytes && type == TensorType::kQ6_K; block += 210) {
      for (std::size_t i = 0; i < 208; ++i) to[block + i] = static_cast<std::byte>(random());
      const std::uint16_t factor = f32_to_f16(0x1p-12f);
      std::memcpy(to + block + 208, &factor, sizeof factor);
    }
  }
  return bytes;
}

template <typename T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", result.error().to_string().c_str());
  std::exit(1);
}

void measure(const std::string& name, TensorType type, bool copied, std::uint32_t threads,
             double ceiling) {
  const std::vector<std::byte> bytes = weights_of(type);
  const format::Tensor matrix = matrix_of(type, kRows, bytes);
  std::vector<float> x(kColumns);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(random);
  const auto input = matrix_of(TensorType::kF32, 1, std::as_bytes(std::span(x)));
  backend::CpuBackend backend(kernels::best_table(detect_cpu_features()), threads);
  backend::Plan plan;
  plan.slots = {{static_cast<std::uint32_t>(kColumns), false}};
  const auto embedding = must(backend.load_matrix(input));
  const auto head = must(backend.load_matrix(matrix));
  if (copied && !backend.copy_head(head)) std::exit(1);
  plan.ops = {{.code = backend::OpCode::kEmbed, .out = 0, .weight = embedding},
              {.code = backend::OpCode::kHead, .in = 0, .weight = head}};
  plan.layers = plan.heads = plan.kv_heads = 1;
  plan.head_dim = 2;
  plan.vocab = static_cast<std::uint32_t>(kRows);
  plan.rope_frequencies = {1.0};
  const auto pool = backend.make_pool(plan, format::KvType::kF16, 1);
  const auto cache = pool->make_cache();
  const auto workspace = must(backend.make_workspace(plan, 1));
  const std::vector<backend::BatchRow> rows{{0, 0, cache.get()}};
  std::vector<backend::TokenLogit> room(kRows);
  std::vector<double> seconds;
  backend::TopQuery query{0, 1, plan.vocab, {}, {}, {}, room};
  for (int i = 0; i <= kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (!backend.submit(plan, {rows, {}, {&query, 1}}, *workspace)) std::exit(1);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i > 0) seconds.push_back(took.count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRepetitions / 2, seconds.end());
  const double median = seconds[kRepetitions / 2];
  const auto read = static_cast<double>(copied ? backend.head_copy_bytes(matrix) : bytes.size());
  std::printf("%s %.2f ms %.2f GB/s share %.3f rows %zu\n", name.c_str(), 1e3 * median,
              read / median / 1e9, read / median / ceiling, query.found);
}

}  // namespace

int main(int argc, char** argv) {
  const auto threads = argc > 1 ? static_cast<std::uint32_t>(std::atoi(argv[1])) : 2u;
  const auto ceiling = must(
      diagnose::measure_read_ceiling(std::uint64_t{1} << 30, threads, diagnose::kLongReadBudget));
  measure("certified_f16", TensorType::kF16, true, threads, ceiling.bytes_per_second);
  measure("exact_f16", TensorType::kF16, false, threads, ceiling.bytes_per_second);
  measure("exact_q8_0", TensorType::kQ8_0, false, threads, ceiling.bytes_per_second);
  measure("exact_q6_k", TensorType::kQ6_K, false, threads, ceiling.bytes_per_second);
  return 0;
}
