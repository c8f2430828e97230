// Hidden states and logits of rows, against plans made by hand.
#include <gtest/gtest.h>

#include <limits>

#include "backend/cpu/cpu_backend.h"
#include "backend/tensors.h"
#include "core/cpu_features.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using test::make_floats;
using test::must;

// `values` for each row in turn, as a matrix of `columns`.
test::OwnedTensor table_of(std::uint64_t columns, const std::vector<float>& values) {
  return make_floats("token_embd.weight", {columns, values.size() / columns}, values);
}

class CpuHidden : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  // Row i of the batch is token i at position i of one sequence.
  Result<void> submit(const Plan& plan, std::uint32_t rows) {
    const auto pool = backend_.make_pool(plan, format::KvType::kF16, 1);
    const auto cache = pool->make_cache();
    must(cache->reserve(rows));
    const auto workspace = must(backend_.make_workspace(plan, rows));
    std::vector<BatchRow> batch;
    for (std::uint32_t i = 0; i < rows; ++i) {
      batch.push_back({static_cast<std::int32_t>(i), i, cache.get()});
    }
    return backend_.submit(plan, {.rows = batch, .logits = wanted_, .hidden = hidden_}, *workspace);
  }

  CpuBackend backend_{kernels::best_table(detect_cpu_features()), GetParam()};
  std::vector<LogitQuery> wanted_;
  std::span<const HiddenQuery> hidden_;
};

// Beside logits, of rows in any order, of a batch and of a row that each worker computes alone.
TEST_P(CpuHidden, HiddenStatesAreWhatTheHeadIsGiven) {
  const auto owned = table_of(3, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const WeightId table = must(backend_.load_matrix(owned.tensor));
  Plan plan;
  plan.slots = {{3, false}, {3, false}};
  plan.ops = {{.code = OpCode::kEmbed, .out = 1, .weight = table},
              {.code = OpCode::kEmbed, .out = 0, .weight = table, .factor = 2.0f},
              {.code = OpCode::kHead, .in = 0, .weight = table}};
  plan.layers = plan.heads = plan.kv_heads = 1;
  plan.head_dim = 2;
  plan.vocab = 3;
  plan.rope_frequencies = {1.0};
  std::vector<float> logits(3), second(3), first(3);
  wanted_ = {{1, logits}};
  const std::vector<HiddenQuery> both{{1, second}, {0, first}};
  hidden_ = both;
  must(submit(plan, 2));
  EXPECT_EQ(second, (std::vector<float>{8, 10, 12}));
  EXPECT_EQ(first, (std::vector<float>{2, 4, 6}));
  EXPECT_EQ(logits[0], 8 * 1 + 10 * 2 + 12 * 3);
  wanted_ = {};
  first.assign(3, 0.0f);
  const std::vector<HiddenQuery> one{{0, first}};
  hidden_ = one;
  must(submit(plan, 1));
  EXPECT_EQ(first, (std::vector<float>{2, 4, 6}));
  const std::vector<HiddenQuery> beyond{{1, first}};
  hidden_ = beyond;
  EXPECT_EQ(submit(plan, 1).error().message,
            "expected hidden states of rows of the batch, with room for all of a row");
  const std::vector<HiddenQuery> short_of_room{{0, std::span(first).first(2)}};
  hidden_ = short_of_room;
  EXPECT_FALSE(submit(plan, 1).ok());
  plan.ops.pop_back();  // the head
  hidden_ = one;
  EXPECT_FALSE(submit(plan, 1).ok());
}

TEST_P(CpuHidden, HiddenStatesThatAreNoNumbersAreRefused) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const auto owned = table_of(3, {1, 2, 3, 4, 5, bad});
    const WeightId table = must(backend_.load_matrix(owned.tensor));
    Plan plan;
    plan.slots = {{3, false}};
    plan.ops = {{.code = OpCode::kEmbed, .out = 0, .weight = table},
                {.code = OpCode::kHead, .in = 0, .weight = table, .layer = 4}};
    plan.layers = plan.heads = plan.kv_heads = 1;
    plan.head_dim = 2;
    plan.vocab = 2;
    plan.rope_frequencies = {1.0};
    std::vector<float> hidden(3);
    const std::vector<HiddenQuery> good{{0, hidden}};
    hidden_ = good;
    EXPECT_TRUE(submit(plan, 2).ok());
    const std::vector<HiddenQuery> query{{1, hidden}};
    hidden_ = query;
    EXPECT_EQ(submit(plan, 2).error().to_string(),
              "layer 4, position 1: a hidden state or a logit is a NaN or an infinity");
  }
}

// Whichever token's it is, first, last or between those that are computed at once.
TEST_P(CpuHidden, LogitsThatAreNoNumbersAreRefused) {
  constexpr std::size_t kVocab = 39;
  for (const std::size_t bad : {0u, 5u, 38u}) {
    std::vector<float> values(kVocab * 3, 1.0f);
    const auto inputs = table_of(3, values);
    values[bad * 3] = 3e38f;
    values[bad * 3 + 1] = 3e38f;
    const auto head = table_of(3, values);
    Plan plan;
    plan.slots = {{3, false}};
    plan.ops = {
        {.code = OpCode::kEmbed, .out = 0, .weight = must(backend_.load_matrix(inputs.tensor))},
        {.code = OpCode::kHead, .in = 0, .weight = must(backend_.load_matrix(head.tensor))}};
    plan.layers = plan.heads = plan.kv_heads = 1;
    plan.head_dim = 2;
    plan.vocab = kVocab;
    plan.rope_frequencies = {1.0};
    std::vector<float> logits(kVocab);
    wanted_ = {{1, logits}};
    EXPECT_EQ(submit(plan, 2).error().to_string(),
              "layer 0, position 1: a logit is a NaN or an infinity");
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, CpuHidden, ::testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace tern::backend
