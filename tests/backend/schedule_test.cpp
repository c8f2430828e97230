#include "backend/cpu/schedule.h"

#include <gtest/gtest.h>

#include "tensors.h"

namespace tern::backend {
namespace {

using test::must;

// A block of attention and what follows it, with the slots 0 residual, 1 normed, 2 codes, 3 query,
// 4 key, 5 value, 6 turned query, 7 turned key, 8 attended, 9 its codes, 10 projected.
Plan block() {
  Plan plan;
  for (int i = 0; i < 11; ++i) plan.slots.push_back({64, i == 2 || i == 9});
  plan.ops = {{.code = OpCode::kEmbed, .out = 0},
              {.code = OpCode::kNorm, .in = 0, .out = 1},
              {.code = OpCode::kQuantize, .in = 1, .out = 2},
              {.code = OpCode::kTernaryLinear, .in = 2, .out = 3},
              {.code = OpCode::kTernaryLinear, .in = 2, .out = 4},
              {.code = OpCode::kTernaryLinear, .in = 2, .out = 5},
              {.code = OpCode::kRope, .in = 3, .out = 6},
              {.code = OpCode::kRope, .in = 4, .out = 7},
              {.code = OpCode::kStoreKv, .in = 7, .in2 = 5},
              {.code = OpCode::kAttention, .in = 6, .out = 8},
              {.code = OpCode::kQuantize, .in = 8, .out = 9},
              {.code = OpCode::kTernaryLinear, .in = 9, .out = 10},
              {.code = OpCode::kAdd, .in = 10, .out = 0},
              {.code = OpCode::kNorm, .in = 0, .out = 1},
              {.code = OpCode::kQuantize, .in = 1, .out = 2},
              {.code = OpCode::kTernaryLinear, .in = 2, .out = 3},
              {.code = OpCode::kHead, .in = 3}};
  return plan;
}

std::vector<std::size_t> places(const std::vector<bool>& barriers) {
  std::vector<std::size_t> at;
  for (std::size_t i = 0; i < barriers.size(); ++i) {
    if (barriers[i]) at.push_back(i);
  }
  return at;
}

TEST(Schedule, OneRowWaitsForWhatWasDividedAlone) {
  const Schedule schedule = must(schedule_one_row(block()));
  // What reads a linear's output or attention's, and attention, which reads the cache.
  EXPECT_EQ(places(schedule.barriers), (std::vector<std::size_t>{6, 9, 10, 12, 16}));
  const std::vector<bool> own{true, true, true,  false, false, false,
                              true, true, false, true,  false};
  EXPECT_EQ(schedule.own, own);
}

TEST(Schedule, SeveralRowsWaitWhereTheDivisionChanges) {
  const Schedule schedule = schedule_rows(block());
  EXPECT_EQ(places(schedule.barriers), (std::vector<std::size_t>{3, 6, 9, 10, 11, 12, 15, 16}));
  EXPECT_EQ(schedule.own, std::vector<bool>(11));
}

// The second linear overwrites what another worker may still read, and what it may still write.
TEST(Schedule, NothingIsOverwrittenThatAnotherReadsOrWrites) {
  Plan plan;
  plan.slots = {{64, false}, {64, true}, {64, false}};
  plan.ops = {{.code = OpCode::kEmbed, .out = 0},
              {.code = OpCode::kQuantize, .in = 0, .out = 1},
              {.code = OpCode::kTernaryLinear, .in = 1, .out = 2},
              {.code = OpCode::kAdd, .in = 2, .out = 0},
              {.code = OpCode::kTernaryLinear, .in = 1, .out = 2},
              {.code = OpCode::kTernaryLinear, .in = 1, .out = 2}};
  const std::vector<std::size_t> last_three{3, 4, 5};
  EXPECT_EQ(places(must(schedule_one_row(plan)).barriers), last_three);
  const std::vector<std::size_t> last_four{2, 3, 4, 5};
  EXPECT_EQ(places(schedule_rows(plan).barriers), last_four);
}

// Of several rows the codes are shared: they may not change while another worker reads them.
TEST(Schedule, RowsAreNotRewrittenWhileALinearReadsThem) {
  Plan plan;
  plan.slots = {{64, false}, {64, true}, {64, false}};
  plan.ops = {{.code = OpCode::kEmbed, .out = 0},
              {.code = OpCode::kQuantize, .in = 0, .out = 1},
              {.code = OpCode::kTernaryLinear, .in = 1, .out = 2},
              {.code = OpCode::kQuantize, .in = 0, .out = 1}};
  EXPECT_EQ(places(must(schedule_one_row(plan)).barriers), std::vector<std::size_t>{});
  EXPECT_EQ(places(schedule_rows(plan).barriers), (std::vector<std::size_t>{2, 3}));
}

// As many slots as a word of bits has: none behind them is looked at.
TEST(Schedule, SlotsFillAWord) {
  Plan plan = block();
  plan.slots.resize(64, {64, false});
  EXPECT_EQ(must(schedule_one_row(plan)).own.size(), 64u);
}

TEST(Schedule, ASlotOfBothKindsIsRefused) {
  Plan plan = block();
  plan.ops[6].out = 3;  // rotated in place
  const auto refused = schedule_one_row(plan);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().to_string().find("slot 3"), std::string::npos);
}

}  // namespace
}  // namespace tern::backend
