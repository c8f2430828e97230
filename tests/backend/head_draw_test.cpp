// The search for the token that a draw chooses, against the draw from all logits, on every tier.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "backend/cpu/head_search.h"
#include "backend/head_fixture.h"

namespace tern::backend {
namespace {

TEST(HeadDraw, FindsTheTokenInHeadsOfEveryType) {
  for (const TensorType type : kHeadTypes) {
    constexpr std::size_t kColumns = 2560, kRows = 403;
    const auto matrix = head_of(type, kColumns, normals(kColumns * kRows, 1));
    for (const float temperature : {0.01f, 1.0f, 40.0f}) {
      for (const std::uint32_t count : {1u, 20u}) {
        const Ask ask{.count = count, .draw = {{.seed = 5, .temperature = temperature}}};
        const std::size_t found = expect_search(normals(kColumns, 2), matrix, ask);
        EXPECT_GE(found, count);
        EXPECT_LE(found, count + 110) << name(type) << ", " << temperature;
      }
    }
  }
}

// Each of many draws chooses among few rows, and not always the same.
TEST(HeadDraw, ManyDrawsComputeFewRows) {
  constexpr std::size_t kColumns = 256, kRows = 3000;
  constexpr std::uint32_t kDraws = 200;
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 21));
  Head head(*runnable_tables().back(), 2, normals(kColumns, 22), matrix);
  const auto logits = must(head.all());
  std::size_t rows = 0;
  std::vector<std::int32_t> chosen;
  for (std::uint32_t position = 0; position < kDraws; ++position) {
    const GumbelDraw draw{.seed = 9, .position = position, .temperature = 12.0f};
    const auto found = must(head.top({.draw = draw}));
    expect_answers(logits, {.draw = draw}, found);
    rows += found.size();
    const auto perturbed = [&](const TokenLogit& c) { return draw.perturbed(c.logit, c.token); };
    chosen.push_back(std::ranges::max_element(found, {}, perturbed)->token);
  }
  EXPECT_LT(rows, 3 * kDraws);
  std::ranges::sort(chosen);
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  EXPECT_GT(chosen.size(), kDraws / 4);
}

// Equal rows differ by what the draw adds to each.
TEST(HeadDraw, EqualRowsAreToldApart) {
  constexpr std::size_t kColumns = 200, kRows = 900;
  const auto row = normals(kColumns, 11);
  std::vector<float> values;
  for (std::size_t r = 0; r < kRows; ++r) values.insert(values.end(), row.begin(), row.end());
  const auto matrix = head_of(TensorType::kF16, kColumns, values);
  for (std::uint32_t position = 0; position < 20; ++position) {
    const GumbelDraw draw{.seed = 1, .position = position, .temperature = 5.0f};
    EXPECT_LT(expect_search(normals(kColumns, 12), matrix, {.draw = draw}), 9u);
  }
}

TEST(HeadDraw, AlwaysComputesWhatItIsAskedAndNeverWhatIsMasked) {
  constexpr std::size_t kColumns = 128, kRows = 300;
  const auto x = normals(kColumns, 5);
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 6));
  Head head(kernels::scalar_table(), 1, x, matrix);
  const auto logits = must(head.all());
  const GumbelDraw draw{.seed = 3, .temperature = 8.0f};
  std::vector<std::int32_t> ranked(kRows);
  std::iota(ranked.begin(), ranked.end(), 0);
  std::ranges::sort(ranked, std::greater<>(), [&](std::int32_t token) {
    return draw.perturbed(logits[static_cast<std::size_t>(token)], token);
  });
  Ask ask{.count = 3, .draw = draw};
  ask.always = {ranked[0], ranked[1], ranked[kRows - 1]};
  ask.masked = {ranked[2], ranked[3], ranked[kRows - 2]};
  std::ranges::sort(ask.always);
  std::ranges::sort(ask.masked);
  EXPECT_LT(expect_search(x, matrix, ask), 20u);
  ask.tokens = 200;
  expect_search(x, matrix, ask);
}

// Rows that cannot be bounded, magnitudes of every kind and logits that temperature makes huge.
TEST(HeadDraw, AdversarialMagnitudes) {
  constexpr std::size_t kColumns = 192, kRows = 130;
  const std::vector<std::function<float(std::size_t)>> shapes{
      [](std::size_t r) { return std::ldexp(1.0f, static_cast<int>(r % 60) - 30); },
      [](std::size_t r) { return r % 5 == 0 ? 1e17f : 1.0f; },  // beyond the bounds
      [](std::size_t r) { return r % 3 == 0 ? 0.0f : 1e-40f; },
      [](std::size_t) { return 1.0f; },
  };
  std::uint32_t seed = 20;
  for (const auto& shape : shapes) {
    for (const float input : {1.0f, 1e5f, 0.0f, 1e19f}) {
      auto values = normals(kColumns * kRows, ++seed);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] *= shape(i / kColumns);
      auto x = normals(kColumns, ++seed);
      for (float& v : x) v *= input;
      const auto matrix = head_of(TensorType::kF32, kColumns, values);
      for (const float temperature : {0.01f, 1.0f, 100.0f}) {
        expect_search(x, matrix, {.draw = {{.seed = seed, .temperature = temperature}}});
      }
    }
  }
}

TEST(HeadDraw, RefusesTemperaturesThatBoundsCannotBear) {
  const OwnedTensor matrix = head_of(TensorType::kF32, 8, normals(8 * 30, 62));
  Head head(kernels::scalar_table(), 1, normals(8, 61), matrix);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float temperature : {nan, 0.0f, -1.0f, 0.0099f, 100.1f, infinity}) {
    const auto outcome = head.top({.draw = {{.temperature = temperature}}});
    ASSERT_FALSE(outcome.ok()) << temperature;
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
  }
  for (const float temperature : {0.01f, 100.0f}) {
    EXPECT_TRUE(head.top({.draw = {{.temperature = temperature}}}).ok());
  }
}

// A logit is bounded by more than its own rounding, so a bound of the perturbed one that is too
// small shows itself where rows are held exactly and hardly differ.
TEST(HeadDraw, ManyDrawsFromRowsThatTheCopyHoldsExactly) {
  constexpr std::size_t kColumns = 64, kRows = 640;
  auto values = normals(kColumns * kRows, 17);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = i % kColumns == 0 ? 127.0f : std::rint(std::clamp(9 * values[i], -20.0f, 20.0f));
  }
  std::vector<float> x(kColumns, 0.0f);
  x[0] = 1e3f;
  x[1] = 1e-3f;
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  Head head(*runnable_tables().back(), 1, x, matrix);
  const auto logits = must(head.all());
  for (std::uint32_t position = 0; position < 300; ++position) {
    for (const float temperature : {0.05f, 1.0f, 90.0f}) {
      const Ask ask{.count = position % 5 + 1,
                    .draw = {{.seed = 2, .position = position, .temperature = temperature}}};
      expect_answers(logits, ask, must(head.top(ask)));
    }
  }
}

TEST(HeadDraw, WithoutACopyEveryRowIsComputed) {
  constexpr std::size_t kColumns = 96, kRows = 77;
  const auto x = normals(kColumns, 9);
  const auto matrix = head_of(TensorType::kQ8_0, kColumns, normals(kColumns * kRows, 10));
  Head head(*runnable_tables().back(), 2, x, matrix, false);
  const Ask ask{.masked = {4, 50}, .draw = GumbelDraw{}};
  const auto found = must(head.top(ask));
  expect_answers(must(head.all()), ask, found);
  EXPECT_EQ(found.size(), kRows - 2);
}

}  // namespace
}  // namespace tern::backend
