// What would be left to gain between the matrices of a 2B-4T: query, key and value as one matrix
// instead of three behind each other, gate and up as one instead of two, and how long the norms
// and quantisations of a token take at all.
//
// usage: bench_fused THREADS ROUNDS
// Matrices are read as decode meets them: all threads together, no barrier within a group and one
// behind it, more memory than the caches hold. A round times both ways, so that both meet the same
// machine. Prints the median time of a group both ways, and median and quartiles of their ratio.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/cpu/weights.h"
#include "core/cpu_features.h"
#include "core/fp_env.h"
#include "diagnose/measure/statistics.h"
#include "format/ternary_matrix.h"
#include "kernels/packing.h"
#include "kernels/registry.h"

namespace tern {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kColumns = 2560;
constexpr std::uint64_t kFfn = 6912;
constexpr std::uint64_t kBytes = std::uint64_t{256} << 20;  // of a set of groups

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

double micros(Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

// Groups of matrices over the same activations; each group has `rows` rows together.
class Groups {
 public:
  Groups(const kernels::KernelTable& tier, const std::vector<std::uint64_t>& rows,
         std::size_t count, ThreadPool& pool)
      : tier_(tier), pool_(pool), per_group_(rows.size()) {
    std::mt19937 random(1);
    std::vector<std::byte> bytes(*std::max_element(rows.begin(), rows.end()) * kColumns / 4);
    for (std::byte& byte : bytes) {  // sums of two random bits, so no code is 3
      const auto bits = static_cast<unsigned>(random());
      byte = static_cast<std::byte>((bits & 0x55u) + ((bits >> 8) & 0x55u));
    }
    for (std::size_t i = 0; i < count; ++i) {
      for (const std::uint64_t n : rows) {
        std::vector<std::byte> matrix(
            bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n * kColumns / 4));
        format::end_trits(format::TensorType::kI2_S, 0.02f, matrix);
        const format::Tensor tensor{
            "fused", format::TensorType::kI2_S, {kColumns, n, 1, 1}, 2, matrix};
        weights_.push_back(must(backend::make_ternary_weight(tensor, tier.packing, memory_, pool)));
      }
    }
    const std::uint64_t most = *std::max_element(rows.begin(), rows.end());
    x_.resize(kernels::padded_columns(kColumns));
    for (std::uint64_t c = 0; c < kColumns; ++c) {
      x_[c] = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
      sum_ += x_[c];
    }
    y_.resize(most);
  }

  // Microseconds of a group.
  double time() {
    Clock::duration took{};
    pool_.run([&](ThreadPool::Worker& worker) {
      worker.barrier();
      const auto start = Clock::now();
      for (std::size_t first = 0; first < weights_.size(); first += per_group_) {
        for (std::size_t i = 0; i < per_group_; ++i) multiply(weights_[first + i], worker);
        worker.barrier();
      }
      if (worker.index() == 0) took = Clock::now() - start;
    });
    return micros(took) / static_cast<double>(weights_.size() / per_group_);
  }

 private:
  void multiply(const backend::TernaryWeight& w, const ThreadPool::Worker& worker) {
    const Slice rows = slice_of(w.rows, kernels::kTileRows, worker.index(), worker.count());
    if (rows.begin == rows.end) return;
    tier_.ternary_linear(w.from(rows.begin, 1), rows.end - rows.begin,
                         {x_.data(), x_.size(), &scale_, &sum_}, 1, y_.data() + rows.begin,
                         y_.size());
  }

  const kernels::KernelTable& tier_;
  ThreadPool& pool_;
  std::size_t per_group_;
  Arena memory_;
  std::vector<backend::TernaryWeight> weights_;
  std::vector<std::int8_t> x_;
  std::vector<float> y_;
  float scale_ = 0.02f;
  std::int32_t sum_ = 0;
};

void compare(const char* name, const kernels::KernelTable& tier,
             const std::vector<std::uint64_t>& rows, ThreadPool& pool, int rounds) {
  std::uint64_t together = 0;
  for (const std::uint64_t n : rows) together += n;
  const std::size_t count = kBytes / kernels::packed_bytes(together, kColumns, tier.packing);
  Groups apart(tier, rows, count, pool);
  Groups fused(tier, {together}, count, pool);
  std::vector<double> times[2];
  std::vector<double> ratios;
  for (int round = -1; round < rounds; ++round) {
    double took[2];
    for (int i = 0; i < 2; ++i) {
      const int turn = (i + round) & 1;
      took[turn] = (turn == 0 ? apart : fused).time();
    }
    if (round < 0) continue;
    times[0].push_back(took[0]);
    times[1].push_back(took[1]);
    ratios.push_back(took[1] / took[0]);
  }
  const auto ratio = diagnose::quartiles(ratios);
  std::printf("%s apart %.2f us fused %.2f us ratio %.4f lower %.4f upper %.4f\n", name,
              diagnose::quartiles(times[0]).median, diagnose::quartiles(times[1]).median,
              ratio.median, ratio.lower, ratio.upper);
}

// A row in the first cache, as the single row of decode is.
void norm_and_quantise(const kernels::KernelTable& tier, std::size_t n) {
  constexpr int kRepetitions = 2001;
  std::vector<float> x(n), w(n, 1.0f), y(n);
  std::mt19937 random(2);
  for (float& v : x) v = std::normal_distribution<float>()(random);
  std::vector<std::int8_t> q(kernels::padded_columns(n));
  float d = 0.0f;
  std::int32_t sum = 0;
  std::vector<double> norm, quantise;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = Clock::now();
    tier.rms_norm(x.data(), w.data(), n, 1e-5f, y.data());
    const auto between = Clock::now();
    tier.quantize(y.data(), n, q.size(), q.data(), &d, &sum);
    quantise.push_back(micros(Clock::now() - between));
    norm.push_back(micros(between - start));
  }
  std::printf("norm_%zu %.3f us quantise_%zu %.3f us\n", n, diagnose::quartiles(norm).median, n,
              diagnose::quartiles(quantise).median);
}

void run(std::uint32_t threads, int rounds) {
  const ScopedFpEnv fp_env;
  const auto& tier = kernels::best_table(detect_cpu_features());
  ThreadPool pool(threads);
  compare("query_key_value", tier, {2560, 640, 640}, pool, rounds);
  compare("gate_up", tier, {kFfn, kFfn}, pool, rounds);
  norm_and_quantise(tier, kColumns);
  norm_and_quantise(tier, kFfn);
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s THREADS ROUNDS\n", argv[0]);
    return 2;
  }
  try {
    tern::run(static_cast<std::uint32_t>(std::atoi(argv[1])), std::atoi(argv[2]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_fused: %s\n", error.what());
    return 1;
  }
  return 0;
}
