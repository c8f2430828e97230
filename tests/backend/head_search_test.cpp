// The search for the largest logits against all logits, on every tier: random heads and heads made
// to mislead the scan.
#include "backend/cpu/head_search.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <numeric>

#include "backend/head_fixture.h"

namespace tern::backend {
namespace {

TEST(HeadSearch, FindsTheLargestInHeadsOfEveryType) {
  for (const TensorType type : kHeadTypes) {
    constexpr std::size_t kColumns = 2560, kRows = 403;
    const auto matrix = head_of(type, kColumns, normals(kColumns * kRows, 1));
    for (const std::uint32_t count : {1u, 2u, 40u, 256u}) {
      const std::size_t found = expect_search(normals(kColumns, 2), matrix, {.count = count});
      EXPECT_GE(found, count);
      EXPECT_LE(found, count <= 2 ? 10 : count + 110) << name(type) << ", " << count;
    }
  }
}

TEST(HeadSearch, TakesUnfriendlyShapes) {
  for (const std::size_t columns : {1u, 3u, 100u, 8640u}) {
    for (const std::size_t rows : {1u, 15u, 17u, 100u, 333u}) {
      const auto matrix = head_of(TensorType::kF16, columns, normals(columns * rows, 3));
      for (const Ask& ask : {Ask{}, Ask{.count = 40}, Ask{.draw = {{.temperature = 3.0f}}}}) {
        expect_search(normals(columns, 4), matrix, ask);
      }
    }
  }
}

TEST(HeadSearch, AlwaysComputesWhatItIsAskedAndNeverWhatIsMasked) {
  constexpr std::size_t kColumns = 128, kRows = 300;
  const auto x = normals(kColumns, 5);
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 6));
  Head head(kernels::scalar_table(), 1, x, matrix);
  const auto logits = must(head.all());
  std::vector<std::int32_t> ranked(kRows);
  std::iota(ranked.begin(), ranked.end(), 0);
  std::sort(ranked.begin(), ranked.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  // The best are spoken for, the worst are wanted: both lists decide.
  Ask ask{.count = 3};
  ask.always = {ranked[0], ranked[1], ranked[kRows - 1]};
  ask.masked = {ranked[2], ranked[3], ranked[kRows - 2]};
  std::sort(ask.always.begin(), ask.always.end());
  std::sort(ask.masked.begin(), ask.masked.end());
  EXPECT_LT(expect_search(x, matrix, ask), 60u);
  ask.masked.push_back(ranked[0]);  // in both lists
  std::sort(ask.masked.begin(), ask.masked.end());
  expect_search(x, matrix, ask);
}

TEST(HeadSearch, LeavesPaddedRowsOut) {
  constexpr std::size_t kColumns = 64, kRows = 100, kTokens = 53;
  auto values = normals(kColumns * kRows, 7);
  const auto x = normals(kColumns, 8);
  for (std::size_t r = kTokens; r < kRows; ++r) {  // padding with the largest logits of all
    for (std::size_t c = 0; c < kColumns; ++c) values[r * kColumns + c] = 10.0f * x[c];
  }
  const auto matrix = head_of(TensorType::kF16, kColumns, values);
  expect_search(x, matrix, {.count = 5, .tokens = kTokens});
  EXPECT_EQ(expect_search(x, matrix, {.count = 80, .tokens = kTokens}),
            kTokens);  // fewer than asked
}

// Tokens that the head does not have are asked for in vain.
TEST(HeadSearch, ListsMayReachBeyondTheHead) {
  constexpr std::size_t kColumns = 64, kRows = 48;
  const auto x = normals(kColumns, 15);
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 16));
  EXPECT_LT(expect_search(x, matrix, {.always = {kRows, kRows + 7}, .masked = {kRows}}), kRows / 2);
}

// Of such rows the copy leaves nothing off: their bounds come from the digits alone.
TEST(HeadSearch, RowsThatTheCopyHoldsExactly) {
  constexpr std::size_t kColumns = 320;
  auto values = normals(kColumns * 70, 17);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = i % kColumns == 0 ? 127.0f : std::rint(std::clamp(40 * values[i], -99.0f, 99.0f));
  }
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  EXPECT_LT(expect_search(normals(kColumns, 18), matrix, {.count = 5}), 8u);
}

TEST(HeadSearch, WithoutACopyEveryRowIsComputed) {
  constexpr std::size_t kColumns = 96, kRows = 77;
  const auto x = normals(kColumns, 9);
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ4_0}) {
    const auto matrix = head_of(type, kColumns, normals(kColumns * kRows, 10));
    for (const auto* table : runnable_tables()) {
      Head head(*table, 2, x, matrix, false);
      const Ask ask{.count = 2, .masked = {4, 50}};
      const auto found = must(head.top(ask));
      expect_answers(must(head.all()), ask, found);
      EXPECT_EQ(found.size(), kRows - 2);
    }
  }
}

// The bounds that another search left of the rows beside it are none of this one.
TEST(HeadSearch, ARowThatIsAlwaysComputedBringsNoOthers) {
  constexpr std::size_t kColumns = 64, kRows = 1024;
  std::vector<float> values(kColumns * kRows), inputs(2 * kColumns);
  for (std::size_t row = 480; row < 496; ++row) values[row * kColumns] = 1.0f;
  values[5 * kColumns + 1] = 0.5f;
  inputs[0] = 1.0f;
  inputs[kColumns] = -1.0f;
  inputs[kColumns + 1] = 1.0f;
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  Head head(kernels::scalar_table(), 1, inputs, matrix, true, 2);
  EXPECT_EQ(must(head.top({.count = 1}, 0)).size(), 16u);
  const Ask ask{.count = 1, .always = {482}};
  const auto found = must(head.top(ask, 1));
  expect_answers(must(head.all(1)), ask, found);
  EXPECT_EQ(found.size(), 2u);
}

// Behind the scratch of the rows that are asked for stands somebody else's.
TEST(ExactRows, DequantisesNoMoreThanItsRows) {
  constexpr std::size_t kColumns = 64, kRows = 4, kAsked = 3;
  const auto x = normals(kColumns, 19);
  const auto matrix = head_of(TensorType::kQ4_0, kColumns, normals(kColumns * kRows, 20));
  std::vector<float> scratch(kColumns * kRows, -7.0f), y(kAsked);
  exact_rows(kernels::scalar_table(), matrix.tensor, matrix.tensor.data.data(), kAsked, x.data(),
             scratch.data(), y.data());
  for (std::size_t i = 0; i < scratch.size(); ++i) {
    EXPECT_EQ(scratch[i] == -7.0f, i >= kAsked * kColumns) << i;
  }
}

TEST(HeadSearch, EqualRowsAreAllFound) {
  constexpr std::size_t kColumns = 200, kRows = 90;
  const auto row = normals(kColumns, 11);
  std::vector<float> values;
  for (std::size_t r = 0; r < kRows; ++r) values.insert(values.end(), row.begin(), row.end());
  const auto matrix = head_of(TensorType::kF16, kColumns, values);
  EXPECT_EQ(expect_search(normals(kColumns, 12), matrix, {.count = 1}), kRows);
}

// Rows that differ by less than the scan can see: it ranks them wrongly, the search does not.
TEST(HeadSearch, NearTiesThatTheScanRanksWronglyAreFound) {
  constexpr std::size_t kColumns = 320, kRows = 64;
  const auto x = normals(kColumns, 13);
  std::size_t misled = 0;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const auto row = normals(kColumns, 100 + seed);
    const auto noise = normals(kColumns * kRows, 200 + seed);
    std::vector<float> values(kColumns * kRows);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = row[i % kColumns] + 1e-3f * noise[i];
    const auto matrix = head_of(TensorType::kF32, kColumns, values);
    expect_search(x, matrix, {.count = 1});
    Head head(kernels::scalar_table(), 1, x, matrix);
    const auto logits = must(head.all());
    ThreadPool pool(1);
    Arena arena;
    const HeadCopy copy =
        must(make_head_copy(kernels::scalar_table(), matrix.tensor, arena, pool, nullptr));
    std::vector<std::int8_t> digits(2 * kColumns);
    const ScanQuery query =
        make_scan_query(x.data(), kColumns, digits.data(), kernels::kDigitBytes);
    std::vector<float> scanned(kRows);
    kernels::scalar_table().scan_rows(copy.tiles, kRows, {digits.data(), &query.digits, 1},
                                      scanned.data());
    const auto best = [](const std::vector<float>& v) {
      return std::max_element(v.begin(), v.end()) - v.begin();
    };
    misled += best(logits) != best(scanned) ? 1 : 0;
  }
  EXPECT_GT(misled, 5u);  // else this test would not need the bounds
}

// The scan sees the best row too low by all that its bound allows, and the next one as it is. So
// neither bound may be a fifth smaller.
TEST(HeadSearch, TheBestRowIsFoundWhereTheScanIsWorst) {
  constexpr std::size_t kColumns = 2560;
  const auto best = normals(kColumns, 14);
  const auto rounded = [](const std::vector<float>& v, std::size_t i) {
    const auto [least, most] = std::minmax_element(v.begin(), v.end());
    const float largest = std::max(-*least, *most);
    return largest / 127.0f * std::rint(v[i] * (127.0f / largest));
  };
  std::vector<float> x(kColumns);  // along what the rounding of the best row leaves
  double logit = 0.0, lost = 0.0;
  for (std::size_t i = 0; i < kColumns; ++i) {
    x[i] = best[i] - rounded(best, i);
    logit += static_cast<double>(best[i]) * x[i];
    lost += static_cast<double>(x[i]) * x[i];
  }
  std::vector<float> values = best;
  double product = 0.0;
  for (std::size_t i = 0; i < kColumns; ++i) {  // a row along x that int8 holds
    values.push_back(rounded(x, i));
    product += static_cast<double>(values.back()) * x[i];
  }
  const auto factor = static_cast<float>((logit - 0.2 * lost) / product);
  for (std::size_t i = kColumns; i < values.size(); ++i) values[i] *= factor;
  expect_search(x, head_of(TensorType::kF32, kColumns, values), {.count = 1});
}

// Magnitudes of every kind, in rows, in columns and in x.
TEST(HeadSearch, AdversarialMagnitudes) {
  constexpr std::size_t kColumns = 192, kRows = 130;
  const std::vector<std::function<float(std::size_t, std::size_t)>> shapes{
      [](std::size_t r, std::size_t) { return std::ldexp(1.0f, static_cast<int>(r % 60) - 30); },
      [](std::size_t r, std::size_t c) { return c == r % kColumns ? 1e6f : 1.0f; },
      [](std::size_t, std::size_t c) { return c % 2 == 0 ? 1e4f : 1e-4f; },
      [](std::size_t r, std::size_t) { return r % 3 == 0 ? 0.0f : 1e-40f; },    // denormals
      [](std::size_t r, std::size_t) { return r % 2 == 0 ? 1e-30f : 1e-33f; },  // rounded to zeros
      [](std::size_t r, std::size_t) { return r % 5 == 0 ? 1e17f : 1.0f; },     // beyond the bounds
  };
  const std::vector<std::function<float(std::size_t)>> inputs{
      [](std::size_t) { return 1.0f; },
      [](std::size_t c) { return c == 7 ? 1e5f : 1e-3f; },
      [](std::size_t c) { return c % 2 == 0 ? 1e3f : -1e3f; },
      [](std::size_t) { return 1e-42f; },
      [](std::size_t) { return 0.0f; },
      [](std::size_t) { return 1e19f; },
  };
  std::uint32_t seed = 20;
  for (const auto& shape : shapes) {
    for (const auto& input : inputs) {
      auto values = normals(kColumns * kRows, ++seed);
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] *= shape(i / kColumns, i % kColumns);
      auto x = normals(kColumns, ++seed);
      for (std::size_t c = 0; c < kColumns; ++c) x[c] *= input(c);
      const auto matrix = head_of(TensorType::kF32, kColumns, values);
      for (const std::uint32_t count : {1u, 7u}) expect_search(x, matrix, {.count = count});
    }
  }
}

// Large products of both signs that cancel: what is left is rounding, which the bound must cover.
TEST(HeadSearch, Cancellation) {
  constexpr std::size_t kColumns = 512, kRows = 100;
  auto values = normals(kColumns * kRows, 31);
  auto x = normals(kColumns, 32);
  for (std::size_t c = 0; c < kColumns; ++c)
    x[c] = (c % 2 == 0 ? 1.0f : -1.0f) * (1.0f + 1e-6f * x[c]);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t pair = i % kColumns / 2;
    values[i] = 1000.0f * (1.0f + static_cast<float>(pair)) + 1e-4f * values[i];
  }
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  for (const std::uint32_t count : {1u, 40u}) expect_search(x, matrix, {.count = count});
}

TEST(HeadSearch, RefusesQueriesThatItHasNoRoomFor) {
  const auto matrix = head_of(TensorType::kF32, 8, normals(8 * 300, 62));
  Head head(kernels::scalar_table(), 1, normals(8, 61), matrix);
  for (const Ask& ask : {Ask{.count = 0}, Ask{.count = 257}, Ask{.tokens = 301},
                         Ask{.always = {900, 3}}, Ask{.masked = {900, 3}}}) {
    const auto outcome = head.top(ask);
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
  }
  EXPECT_TRUE(head.top({.count = 256}).ok());

  const std::vector<BatchRow> rows{{0, 0, head.cache_.get()}};
  std::vector<TokenLogit> room(300);
  std::vector<TopQuery> beyond{head.query({}, 1, room)};
  std::vector<TopQuery> many(4, head.query({}, 0, room));  // of a workspace for three rows
  std::vector<TokenLogit> narrow(299);
  std::vector<TopQuery> short_of_room{head.query({}, 0, narrow)};
  std::vector<TokenLogit> wide(400);
  std::vector<TopQuery> no_tokens{head.query({.tokens = 301}, 0, wide)};
  for (std::vector<TopQuery>* tops : {&beyond, &many, &short_of_room, &no_tokens}) {
    const auto outcome = head.backend_.submit(head.plan_, {rows, {}, *tops}, *head.workspace_);
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
  }
}

// What is no number is the error that it is for all logits, wherever it stands.
TEST(HeadSearch, RefusesWhatIsNoNumber) {
  constexpr std::size_t kColumns = 40, kRows = 60;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto good_x = normals(kColumns, 51);
  const auto good = normals(kColumns * kRows, 52);
  for (const float bad : {nan, infinity, -infinity, 3e38f}) {
    auto x = good_x;
    x[17] = bad;
    auto values = good;
    values[33 * kColumns + 5] = bad;
    if (bad == 3e38f) x[5] = x[17] = 10.0f;  // a finite weight and an infinite logit
    for (const auto* table : runnable_tables()) {
      const auto bad_head = head_of(TensorType::kF32, kColumns, values);
      const auto outcome = Head(*table, 2, bad == 3e38f ? x : good_x, bad_head).top({});
      ASSERT_FALSE(outcome.ok()) << bad;
      EXPECT_EQ(outcome.error().to_string(),
                "layer 0, position 0: a logit is a NaN or an infinity");
      if (bad == 3e38f) continue;
      const auto good_head = head_of(TensorType::kF32, kColumns, good);
      EXPECT_FALSE(Head(*table, 2, x, good_head).top({}).ok()) << bad;
    }
  }
}

}  // namespace
}  // namespace tern::backend
