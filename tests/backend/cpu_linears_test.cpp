// Matrices of several tokens, whose rows workers take from each other.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/workspace.h"
#include "backend/tensors.h"
#include "core/cpu_features.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using test::must;

constexpr std::uint32_t kWidth = 256, kMany = 2944, kFew = 192, kLast = 700;

// The best tier on a team of which the first worker is late now and then, so that others take what
// it has left.
const kernels::KernelTable& best() { return kernels::best_table(detect_cpu_features()); }
const std::thread::id first_worker = std::this_thread::get_id();  // the caller is worker 0
void late_linear(const kernels::TernaryTiles& w, std::size_t rows, const kernels::QuantizedRows& x,
                 std::size_t tokens, float* y, std::size_t y_stride) {
  thread_local unsigned calls = 0;
  if (std::this_thread::get_id() == first_worker && ++calls % 3 == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  best().ternary_linear(w, rows, x, tokens, y, y_stride);
}

class Linears {
 public:
  Linears(const kernels::KernelTable& tier, std::uint32_t threads) : backend_(tier, threads) {
    const auto matrix = [&](std::uint32_t rows, std::uint32_t columns) {
      const auto owned =
          test::make_ternary("matrix", test::random_trits(rows * columns, rows), columns, 0.02f);
      return must(backend_.load_ternary(owned.tensor));
    };
    plan_.slots = {{kWidth, false}, {kWidth, true}, {kMany, false},
                   {kFew, false},   {kMany, true},  {kLast, false}};
    plan_.ops = {
        {.code = OpCode::kEmbed, .out = 0, .weight = must(backend_.load_matrix(embedding_.tensor))},
        {.code = OpCode::kQuantize, .in = 0, .out = 1},
        {.code = OpCode::kTernaryLinear, .in = 1, .out = 2, .weight = matrix(kMany, kWidth)},
        {.code = OpCode::kTernaryLinear, .in = 1, .out = 3, .weight = matrix(kFew, kWidth)},
        {.code = OpCode::kQuantize, .in = 2, .out = 4},
        {.code = OpCode::kTernaryLinear, .in = 4, .out = 5, .weight = matrix(kLast, kMany)}};
    plan_.layers = plan_.heads = plan_.kv_heads = 1;
    plan_.head_dim = 4;
    plan_.rope_frequencies = {1.0, 0.01};
    workspace_ = must(backend_.make_workspace(plan_, 64));
    pool_ = backend_.make_pool(plan_, format::KvType::kF16, 8);
    cache_ = pool_->make_cache();
    must(cache_->reserve(64));
  }

  // The outputs of all three matrices for tokens [first, first + count).
  std::vector<float> outputs(std::uint32_t first, std::uint32_t count) {
    std::vector<BatchRow> rows;
    for (std::uint32_t i = 0; i < count; ++i) {
      rows.push_back({static_cast<std::int32_t>(first + i), i, cache_.get()});
    }
    must(backend_.submit(plan_, {.rows = rows}, *workspace_));
    const Slots& slots = static_cast<CpuWorkspace&>(*workspace_).slots(false, 0);
    std::vector<float> all;
    for (const SlotId slot : {SlotId{2}, SlotId{3}, SlotId{5}}) {
      for (std::uint32_t row = 0; row < count; ++row) {
        all.insert(all.end(), slots.row(slot, row), slots.row(slot, row) + slots.width(slot));
      }
    }
    return all;
  }

 private:
  // Read where it lies.
  const test::OwnedTensor embedding_ = test::make_floats(
      "token_embd.weight", {kWidth, 64}, test::normals(std::size_t{64} * kWidth, 3));
  CpuBackend backend_;
  Plan plan_;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Workspace> workspace_;
};

// Around the number of tokens from which on rows are shared, and step after step.
TEST(CpuLinears, HaveTheirBitsWhoeverTakesTheirRows) {
  Linears alone(kernels::scalar_table(), 1);
  kernels::KernelTable tier = best();
  tier.ternary_linear = late_linear;
  for (const std::uint32_t threads : {2u, 3u}) {
    Linears together(tier, threads);
    for (const std::uint32_t tokens : {15u, 16u, 17u, 40u}) {
      EXPECT_EQ(together.outputs(0, tokens), alone.outputs(0, tokens)) << tokens << ", " << threads;
      EXPECT_EQ(together.outputs(9, tokens), alone.outputs(9, tokens)) << tokens << ", " << threads;
    }
  }
}

}  // namespace
}  // namespace tern::backend
