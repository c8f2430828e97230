// Operations that go row by row, against plans made by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/workspace.h"
#include "backend/tensors.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using test::make_floats;
using test::must;

// `values` for each row in turn, as a matrix of `columns`.
test::OwnedTensor table_of(std::uint64_t columns, const std::vector<float>& values) {
  return make_floats("token_embd.weight", {columns, values.size() / columns}, values);
}

class CpuRows : public ::testing::Test {
 protected:
  // Row i of the batch is token i at position first + i.
  void submit(const Plan& plan, std::uint32_t rows, std::uint32_t first = 0) {
    pool_ = backend_.make_pool(plan, format::KvType::kF16, 8);
    cache_ = pool_->make_cache();
    must(cache_->reserve(first + rows));
    workspace_ = must(backend_.make_workspace(plan, rows));
    std::vector<BatchRow> batch;
    for (std::uint32_t i = 0; i < rows; ++i) {
      batch.push_back({static_cast<std::int32_t>(i), first + i, cache_.get()});
    }
    one_row_ = rows == 1;
    must(backend_.submit(plan, {.rows = batch}, *workspace_));
  }
  const Slots& slots() { return static_cast<CpuWorkspace&>(*workspace_).slots(one_row_, 0); }

  CpuBackend backend_{kernels::scalar_table(), 1};
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Workspace> workspace_;
  bool one_row_ = false;
};

// One head of two dimensions turns by position times frequency.
TEST_F(CpuRows, RopeTurnsByTheRowsPosition) {
  const auto owned = table_of(4, {1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1});
  Plan plan;
  plan.slots = {{4, false}};
  plan.ops = {
      {.code = OpCode::kEmbed, .out = 0, .weight = must(backend_.load_matrix(owned.tensor))},
      {.code = OpCode::kRope, .in = 0, .out = 0}};
  plan.layers = plan.heads = plan.kv_heads = 1;
  plan.head_dim = 4;
  plan.rope_frequencies = {1.0, 0.01};
  submit(plan, 3, 50);
  for (std::size_t row = 0; row < 3; ++row) {
    const double fast = static_cast<double>(50 + row);
    const double slow = fast * 0.01;
    const float* x = slots().row(0, row);
    EXPECT_NEAR(x[0], std::cos(fast), 1e-6);  // (1, 0) turned
    EXPECT_NEAR(x[2], std::sin(fast), 1e-6);
    EXPECT_NEAR(x[1], -std::sin(slow), 1e-6);  // (0, 1) turned
    EXPECT_NEAR(x[3], std::cos(slow), 1e-6);
  }
}

// The first of two neighbours goes to the first half of the head, where kRope looks for it.
TEST_F(CpuRows, RopeOverNeighboursIsThatOverHalvesOfTheReorderedHead) {
  const std::vector<float> neighbours{1, 5, 2, 6, -1, 3, 0.5f, 7};  // two heads of four
  const std::vector<float> halves{1, 2, 5, 6, -1, 0.5f, 3, 7};
  std::vector<float> values = neighbours;
  values.insert(values.end(), neighbours.begin(), neighbours.end());
  const auto in = table_of(8, values);
  values = halves;
  values.insert(values.end(), halves.begin(), halves.end());
  const auto reordered = table_of(8, values);
  Plan plan;
  plan.slots = {{8, false}, {8, false}, {8, false}};
  plan.ops = {
      {.code = OpCode::kEmbed, .out = 0, .weight = must(backend_.load_matrix(in.tensor))},
      {.code = OpCode::kRopeNeighbours, .in = 0, .out = 1},
      {.code = OpCode::kEmbed, .out = 2, .weight = must(backend_.load_matrix(reordered.tensor))},
      {.code = OpCode::kRope, .in = 2, .out = 2}};
  plan.layers = plan.kv_heads = 1;
  plan.heads = 2;
  plan.head_dim = 4;
  plan.rope_frequencies = {1.0, 0.01};
  submit(plan, 2, 50);
  for (std::size_t row = 0; row < 2; ++row) {
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(slots().row(1, row)[i], slots().row(2, row)[i]) << row << " " << i;
    }
  }
}

// Slots lie behind each other, these without a gap: each operation keeps to its own.
TEST_F(CpuRows, NothingIsWrittenBehindTheLastRow) {
  constexpr std::size_t kWidth = 16, kRows = 2;
  std::vector<float> values(kWidth * kRows);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1);
  const auto table = table_of(kWidth, values);
  const auto gains = make_floats("norm.weight", {kWidth}, std::vector<float>(kWidth, 1.0f));
  const WeightId weight = must(backend_.load_matrix(table.tensor));
  Plan plan;
  plan.slots = std::vector<SlotSpec>(4, SlotSpec{kWidth, false});
  plan.ops = {{.code = OpCode::kEmbed, .out = 1, .weight = weight},
              {.code = OpCode::kEmbed, .out = 3, .weight = weight},
              {.code = OpCode::kEmbed, .out = 0, .weight = weight, .factor = 2.0f},
              {.code = OpCode::kNorm,
               .in = 0,
               .out = 2,
               .weight = must(backend_.load_vector(gains.tensor))}};
  plan.layers = plan.heads = plan.kv_heads = 1;
  plan.head_dim = 2;
  plan.rope_frequencies = {1.0};
  submit(plan, kRows);
  for (const SlotId slot : {1u, 3u}) {
    const float* from = slots().row(slot, 0);
    ASSERT_EQ(from, slots().row(slot - 1, kRows - 1) + kWidth);
    EXPECT_EQ(std::vector<float>(from, from + values.size()), values);
  }
  EXPECT_EQ(slots().row(0, 1)[15], 64.0f);
}

// A vector shorter than its slot is the norm of each run of its length.
TEST_F(CpuRows, NormsGoRunByRun) {
  const auto table = table_of(6, {3, 4, 0, 30, 40, 0});
  const auto gains = make_floats("norm.weight", {3}, {1, 2, 4});
  Plan plan;
  plan.slots = {{6, false}, {6, false}};
  plan.ops = {
      {.code = OpCode::kEmbed, .out = 0, .weight = must(backend_.load_matrix(table.tensor))},
      {.code = OpCode::kNorm,
       .in = 0,
       .out = 1,
       .weight = must(backend_.load_vector(gains.tensor))}};
  plan.layers = plan.heads = plan.kv_heads = 1;
  plan.head_dim = 2;
  plan.rope_frequencies = {1.0};
  submit(plan, 1);
  const float r = 1.0f / std::sqrt(25.0f / 3.0f);
  const float* y = slots().row(1, 0);
  for (const std::size_t at : {0u, 3u}) {  // alike: a norm takes the size away
    EXPECT_NEAR(y[at], 3 * r, 1e-6);
    EXPECT_NEAR(y[at + 1], 8 * r, 1e-6);
    EXPECT_EQ(y[at + 2], 0.0f);
  }
}

}  // namespace
}  // namespace tern::backend
