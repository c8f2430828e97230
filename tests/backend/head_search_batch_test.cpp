// Several rows of a batch: the search for their largest logits, whose scan begins with the high
// digits alone, and all logits of each.
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

#include "backend/cpu/head_search.h"
#include "backend/head_fixture.h"

namespace tern::backend {
namespace {

// Each query has its own row, its own tokens and its own lists, whatever the others ask.
TEST(HeadSearchOfBatches, SeveralRowsOfABatchAreAnsweredBesideWholeRows) {
  constexpr std::size_t kColumns = 64, kRows = 1000;
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 41));
  const auto inputs = normals(3 * kColumns, 42);
  for (const std::uint32_t threads : {1u, 2u, 5u}) {
    Head head(*runnable_tables().back(), threads, inputs, matrix, true, 3);
    std::vector<std::vector<float>> logits;
    for (std::int32_t input = 0; input < 3; ++input) logits.push_back(must(head.all(input)));
    const std::vector<BatchRow> rows{
        {0, 0, head.cache_.get()}, {1, 1, head.cache_.get()}, {2, 2, head.cache_.get()}};
    for (int turn = 0; turn < 20; ++turn) {
      std::vector<float> whole(kRows);
      std::vector<TokenLogit> first(kRows), second(kRows), third(kRows);
      const Ask one{.count = 1}, five{.count = 5, .tokens = 500, .always = {3}};
      const Ask three{.count = 3, .tokens = 200, .masked = {0, 7}};
      std::vector<TopQuery> tops{head.query(one, 2, first), head.query(five, 0, second),
                                 head.query(three, 1, third)};
      const LogitQuery all{1, whole};
      must(head.backend_.submit(head.plan_, {rows, {&all, 1}, tops}, *head.workspace_));
      EXPECT_EQ(whole, logits[1]);
      first.resize(tops[0].found);
      second.resize(tops[1].found);
      third.resize(tops[2].found);
      expect_answers(logits[2], one, first);
      expect_answers(logits[0], five, second);
      expect_answers(logits[1], three, third);
    }
  }
}

// More queries than share a scan, one of which cannot be bounded.
TEST(HeadSearchOfBatches, ManyRowsOfABatchAreAnsweredAsEachIsAlone) {
  constexpr std::size_t kColumns = 64, kRows = 700, kQueries = 2 * CpuWorkspace::kHeadQueries + 3;
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 43));
  auto inputs = normals(kQueries * kColumns, 44);
  inputs[5 * kColumns] = 1e30f;
  std::vector<Ask> asks(kQueries);
  for (std::uint32_t i = 0; i < kQueries; ++i) {
    asks[i].count = i % 7 + 1;
    if (i % 3 == 0) continue;
    asks[i].draw = {.seed = i, .position = 7, .temperature = 0.5f + 0.1f * static_cast<float>(i)};
    if (i % 5 == 2) asks[i].tokens = 333;
    if (i % 5 == 1) asks[i].masked = {0, 332, 690};
  }
  for (const std::uint32_t threads : {1u, 3u}) {
    Head head(*runnable_tables().back(), threads, inputs, matrix, true, kQueries);
    expect_batch(head, asks, std::to_string(threads) + " threads");
    EXPECT_EQ(must(head.tops(asks))[5].size(), kRows);
  }
}

// In an order of their own, beside each other's.
TEST(LogitsOfBatches, AreThoseOfEachRowAlone) {
  constexpr std::size_t kColumns = 256, kRows = 83;
  constexpr std::uint32_t kQueries = 67;
  const auto inputs = normals(kQueries * kColumns, 50);
  for (const TensorType type : kHeadTypes) {
    const auto matrix = head_of(type, kColumns, normals(kColumns * kRows, 51));
    for (const auto* table : runnable_tables()) {
      Head head(*table, 3, inputs, matrix, false, kQueries);
      std::vector<BatchRow> rows;
      std::vector<LogitQuery> queries;
      std::vector<std::vector<float>> logits(kQueries, std::vector<float>(kRows));
      for (std::uint32_t i = 0; i < kQueries; ++i) {
        rows.push_back({static_cast<std::int32_t>(i), i % 32, head.cache_.get()});
        queries.push_back({kQueries - 1 - i, logits[kQueries - 1 - i]});
      }
      must(head.backend_.submit(head.plan_, {rows, queries}, *head.workspace_));
      for (std::size_t i = 0; i < kQueries; ++i) {
        ASSERT_EQ(logits[i], must(head.all(static_cast<std::int32_t>(i))))
            << name(type) << ", " << table->name << ", row " << i;
      }
    }
  }
}

TEST(LogitsOfBatches, TheRowThatIsNoNumberIsNamed) {
  constexpr std::size_t kColumns = 64, kBad = 65;
  constexpr std::uint32_t kQueries = 67;
  const auto matrix = head_of(TensorType::kF32, kColumns, normals(kColumns * 90, 52));
  auto inputs = normals(kQueries * kColumns, 53);
  inputs[kBad * kColumns + 3] = std::numeric_limits<float>::infinity();
  Head head(*runnable_tables().back(), 2, inputs, matrix, false, kQueries);
  std::vector<BatchRow> rows;
  std::vector<LogitQuery> queries;
  std::vector<std::vector<float>> logits(kQueries, std::vector<float>(90));
  for (std::uint32_t i = 0; i < kQueries; ++i) {
    rows.push_back({static_cast<std::int32_t>(i), i, head.cache_.get()});
    queries.push_back({i, logits[i]});
  }
  const auto outcome = head.backend_.submit(head.plan_, {rows, queries}, *head.workspace_);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().context, "layer 0, position 65");
}

// Also where it is of the second lot of queries that share a scan.
TEST(HeadSearchOfBatches, TheRowThatIsNoNumberIsNamed) {
  constexpr std::size_t kColumns = 64, kQueries = CpuWorkspace::kHeadQueries + 4;
  const auto matrix = head_of(TensorType::kF32, kColumns, normals(kColumns * 90, 48));
  for (const std::size_t bad : {std::size_t{3}, kQueries - 2}) {
    auto inputs = normals(kQueries * kColumns, 49);
    inputs[bad * kColumns + 7] = std::numeric_limits<float>::quiet_NaN();
    Head head(kernels::scalar_table(), 2, inputs, matrix, true, kQueries);
    const auto outcome = head.tops(std::vector<Ask>(kQueries));
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().context, "layer 0, position " + std::to_string(bad));
  }
}

// Of every size, on every tier. One row of the batch is such that the high digits say nothing of
// it, one has lists, one many answers, and some rows of the head are equal or nearly so.
TEST(HeadSearchOfBatches, AnAdversarialRowOfABatchChangesNoOther) {
  constexpr std::size_t kColumns = 160, kRows = 900, kMost = 16;
  auto values = normals(kColumns * kRows, 45);
  for (std::size_t i = 0; i < 40 * kColumns; ++i) {
    values[i + 400 * kColumns] = values[i % kColumns];
    values[i + 700 * kColumns] = values[i % kColumns] + 1e-3f * values[i + 700 * kColumns];
  }
  const auto matrix = head_of(TensorType::kF16, kColumns, values);
  auto inputs = normals(kMost * kColumns, 46);
  inputs[kColumns + 9] = 1e4f;
  for (const auto* table : runnable_tables()) {
    for (std::uint32_t rows = 2; rows <= kMost; ++rows) {
      std::vector<Ask> asks(rows);
      asks[0] = {.count = 3, .tokens = 517, .always = {3, 88, 516}, .masked = {0, 400, 401}};
      asks[rows / 2].count = 256;
      if (rows > 3) asks[3].draw = {.seed = rows, .temperature = 2.0f};
      if (rows > 6) asks[6] = {.count = 2, .always = {5, 6}, .draw = {{.temperature = 0.1f}}};
      Head head(*table, rows % 2 + 1, inputs, matrix, true, kMost);
      expect_batch(head, asks, std::string(table->name) + ", " + std::to_string(rows) + " rows");
    }
  }
}

// What the high digits leave out of the best row is all that it is better by, and as much as their
// bound allows; the next one is found long before it. So that bound may not be a fifth smaller.
TEST(HeadSearchOfBatches, TheBestRowIsFoundWhereTheLowDigitsDecide) {
  constexpr std::size_t kColumns = 256, kRows = 2100, kBest = 1500;
  std::vector<float> values(kColumns * kRows), inputs(2 * kColumns);
  std::mt19937 generator(47);
  double logit = 0.0;
  for (std::size_t i = 0; i < kColumns; ++i) {
    const float sign = i == 0 || generator() % 2 == 0 ? 1.0f : -1.0f;
    const auto high = i == 0 ? 127 : static_cast<int>(generator() % 200) - 100;
    inputs[i] = 256.0f * static_cast<float>(high) + 127.0f * sign;
    inputs[kColumns + i] = 1.0f;
    values[kBest * kColumns + i] = 127.0f * sign;
    logit += 127.0 * sign * inputs[i];
  }
  constexpr double kLeftOut = 127.0 * 127.0 * kColumns;
  values[0] = static_cast<float>((logit - 0.1 * kLeftOut) / inputs[0]);
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  for (const auto* table : runnable_tables()) {
    Head head(*table, 1, inputs, matrix, true, 2);
    const auto found = must(head.tops({Ask{}, Ask{}}));
    ASSERT_EQ(found[0].size(), 1u) << table->name;
    EXPECT_EQ(found[0][0].token, static_cast<std::int32_t>(kBest)) << table->name;
  }
}

// Whole pieces, behind whose last group stands the first one of another query. Of the last query
// nothing is bounded.
TEST(HeadSearchOfBatches, TheBestRowOfEachIsTheFirst) {
  constexpr std::size_t kColumns = 64, kRows = 2 * kPieceRows,
                        kQueries = CpuWorkspace::kHeadQueries;
  std::vector<float> values(kColumns * kRows), inputs(kQueries * kColumns, 1.0f);
  values[0] = 1.0f;
  inputs[(kQueries - 1) * kColumns] = 1e30f;
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  for (const auto* table : runnable_tables()) {
    Head head(*table, 1, inputs, matrix, true, kQueries);
    expect_batch(head, std::vector<Ask>(kQueries), table->name);
  }
}

// In a piece of rows behind the first: int8 rounds the best row to nothing where x is not zero, so
// that its own residual is all that speaks for it.
TEST(HeadSearchOfBatches, TheBestRowIsFoundByItsOwnResidual) {
  constexpr std::size_t kColumns = 64, kRows = 1100, kBest = kPieceRows + 88;
  std::vector<float> values(kColumns * kRows), inputs(2 * kColumns, 1.0f);
  inputs[0] = inputs[kColumns] = 0.0f;
  values[10 * kColumns + 1] = 20.0f;
  std::fill_n(&values[kBest * kColumns], kColumns, 0.49f);
  values[kBest * kColumns] = 127.0f;
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  for (const auto* table : runnable_tables()) {
    Head head(*table, 1, inputs, matrix, true, 2);
    expect_batch(head, {Ask{}, Ask{}}, table->name);
  }
}

}  // namespace
}  // namespace tern::backend
