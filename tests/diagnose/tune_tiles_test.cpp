// From how many tokens on tile registers are taken, on tiers whose speed the test decides, and on
// the AMX tier over emulated registers.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <initializer_list>
#include <map>
#include <set>

#include "conformance/tiers.h"
#include "core/cpu_features.h"
#include "diagnose/measure/tune.h"
#include "diagnose/measure/tune_report.h"
#include "kernels/registry.h"

namespace tern::diagnose {
namespace {

using backend::MatrixPlan;
using backend::MatrixShape;
using kernels::Packing;
using std::chrono::nanoseconds;

constexpr std::uint32_t kOwn = 8;
constexpr MatrixShape kShape{48, 128};
const MatrixPlan kFast{Packing::kFiveTrits, {1, 1024, fetches_into_second_cache()}};

thread_local nanoseconds elapsed{0};
TimePoint now() { return TimePoint(elapsed); }

// By the number of tokens.
std::map<std::size_t, std::int64_t> vectors_cost;
std::map<std::size_t, std::int64_t> tiles_cost;
std::set<std::pair<std::size_t, bool>> wrong;  // tokens, and whether on tile registers
std::map<std::pair<std::size_t, bool>, std::size_t> calls;
std::map<std::size_t, std::vector<std::size_t>> rows_of;  // by the number of tokens, each call's
std::set<Packing> batch_packings;
bool patterns_of_one_row = false;  // met where there are several
std::int64_t slowdown = 1;

void modelled_linear(const kernels::TernaryTiles& w, std::size_t rows,
                     const kernels::QuantizedRows& x, std::size_t tokens, float* y,
                     std::size_t y_stride) {
  kernels::scalar_table().ternary_linear(w, rows, x, tokens, y, y_stride);
  const bool tiles = tokens >= (w.tile_tokens != 0 ? w.tile_tokens : kOwn);
  ++calls[{tokens, tiles}];
  rows_of[tokens].push_back(rows);
  if (wrong.contains({tokens, tiles})) y[(tokens - 1) * y_stride + rows - 1] = -1e9f;
  std::int64_t cost = MatrixPlan{w.packing, w.read} == kFast ? 900 : 1000;
  if (tokens > 1) {
    batch_packings.insert(w.packing);
    patterns_of_one_row |= w.read.streams != 0;
    cost = (tiles ? tiles_cost : vectors_cost).at(tokens);
  }
  elapsed += nanoseconds(cost * slowdown);
}

class TuneTiles : public ::testing::Test {
 protected:
  TuneTiles() {
    tier_.name = "modelled";
    tier_.tile_tokens = kOwn;
    tier_.ternary_linear = modelled_linear;
    vectors_cost = {{2, 2000}, {4, 4000}, {8, 8000}, {16, 16000}, {32, 32000}};
    tiles_cost = {{2, 3000}, {4, 3000}, {8, 3000}, {16, 4000}, {32, 8000}};
    wrong.clear();
    calls.clear();
    rows_of.clear();
    batch_packings.clear();
    patterns_of_one_row = false;
    slowdown = 1;
  }
  Result<std::optional<std::vector<ShapeTuning>>> run(const MatrixShape& shape = kShape) const {
    return tune(std::span(&shape, 1), options_);
  }
  ShapeTuning found() const {
    auto found = run();
    EXPECT_TRUE(found.ok() && found->has_value());
    return std::move((**found)[0]);
  }

  kernels::KernelTable tier_ = kernels::scalar_table();
  TuneOptions options_{.tier = &tier_,
                       .threads = 1,
                       .set_bytes = 5000,
                       .timed_seconds = 9.5e-6,
                       .screening_rounds = 2,
                       .final_rounds = 5,
                       .tile_rounds = 3,
                       .now = now};
};

TEST_F(TuneTiles, KeepsTheNumberFromWhichOnTheyAreClearlyFaster) {
  const ShapeTuning shape = found();
  ASSERT_TRUE(shape.tiles);
  EXPECT_EQ(shape.tiles->own, kOwn);
  EXPECT_EQ(shape.tiles->kept, 4u);
  ASSERT_EQ(shape.tiles->buckets.size(), 5u);
  for (std::size_t i = 0; i < kTileBuckets.size(); ++i) {
    const TileBucket& bucket = shape.tiles->buckets[i];
    const std::uint32_t tokens = kTileBuckets[i];
    EXPECT_EQ(bucket.tokens, tokens);
    EXPECT_TRUE(bucket.exact);
    const auto vectors = static_cast<double>(vectors_cost.at(tokens));
    const auto tiles = static_cast<double>(tiles_cost.at(tokens));
    EXPECT_NEAR(bucket.vectors_seconds, 1e-9 * vectors, 1e-12) << tokens;
    EXPECT_NEAR(bucket.tiles_seconds, 1e-9 * tiles, 1e-12) << tokens;
    ASSERT_TRUE(bucket.ratio);
    EXPECT_DOUBLE_EQ(bucket.ratio->median, tiles / vectors) << tokens;
    EXPECT_EQ(bucket.ratio->count, 3u);
  }
  MatrixPlan plan = kFast;
  plan.tile_tokens = 4;
  const auto kept = kept_plans(std::span(&shape, 1));
  EXPECT_EQ(kept, (backend::Tuning{{kShape, plan}}));
  EXPECT_TRUE(backend::supports(tier_, plan));
}

TEST_F(TuneTiles, KeepsTheTiersOwnNumberWhereNothingIsClear) {
  tiles_cost = {{2, 1990}, {4, 3950}, {8, 8100}, {16, 16100}, {32, 32000}};
  const ShapeTuning shape = found();
  EXPECT_EQ(shape.tiles->kept, kOwn);
  EXPECT_EQ(kept_plans(std::span(&shape, 1)).at(kShape).tile_tokens, kOwn);
}

TEST_F(TuneTiles, KeepsLargerNumbersWhereVectorsAreFaster) {
  tiles_cost = {{2, 9000}, {4, 9000}, {8, 9000}, {16, 18000}, {32, 30000}};
  EXPECT_EQ(found().tiles->kept, 32u);
  tiles_cost[32] = 36000;
  const ShapeTuning shape = found();
  EXPECT_EQ(shape.tiles->kept, backend::kMostTileTokens);
  EXPECT_TRUE(backend::supports(tier_, kept_plans(std::span(&shape, 1)).at(kShape)));
}

// As the backend meets them: packed as one row wants it, read in the tier's own pattern.
TEST_F(TuneTiles, AreTimedInTheKeptPackingAndTheOwnPattern) {
  found();
  EXPECT_EQ(batch_packings, std::set{kFast.packing});
  EXPECT_FALSE(patterns_of_one_row);
}

// A proof, a walk of one matrix twice, and three rounds of as many as take the time of a timing.
TEST_F(TuneTiles, TakeAsManyMatricesAsATimingNeeds) {
  found();
  EXPECT_EQ((calls[{2, false}]), 1u + 2 + 3 * 5);
  EXPECT_EQ((calls[{2, true}]), 1u + 2 + 3 * 4);
  EXPECT_EQ((calls[{32, false}]), 1u + 2 + 3 * 1);
}

TEST_F(TuneTiles, ComparesWithinARound) {
  options_.progress = [](std::uint64_t done, std::uint64_t) {
    slowdown = static_cast<std::int64_t>(1 + done);
  };
  const ShapeTuning shape = found();
  for (const TileBucket& bucket : shape.tiles->buckets) {
    EXPECT_DOUBLE_EQ(bucket.ratio->lower, bucket.ratio->upper) << bucket.tokens;
  }
}

// Of two ways neither is timed where one is wrong, and what it could say is not known.
TEST_F(TuneTiles, WhatIsNotTheDefinitionIsNeverTimed) {
  wrong = {{4, true}, {16, false}};
  const ShapeTuning shape = found();
  EXPECT_EQ(shape.tiles->kept, kOwn);
  for (const TileBucket& bucket : shape.tiles->buckets) {
    const bool right = bucket.tokens != 4 && bucket.tokens != 16;
    EXPECT_EQ(bucket.exact, right) << bucket.tokens;
    EXPECT_EQ(bucket.ratio.has_value(), right) << bucket.tokens;
  }
  for (const std::size_t tokens : {4u, 16u}) {
    EXPECT_EQ((calls[{tokens, false}]), 1u);
    EXPECT_EQ((calls[{tokens, true}]), 1u);
  }
}

TEST_F(TuneTiles, ATierWhoseOwnWayIsWrongIsAnError) {
  for (const std::pair<std::size_t, bool> own : {std::pair{4u, false}, {8u, true}, {32u, true}}) {
    wrong = {own};
    const auto failed = run();
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().code, ErrorCode::kProofFailed);
    EXPECT_NE(failed.error().to_string().find("tier modelled, 48 x 128, " +
                                              std::to_string(own.first) + " tokens"),
              std::string::npos)
        << failed.error().to_string();
  }
}

// The definition takes long for several tokens: the last rows of a worker stand for all.
TEST_F(TuneTiles, AreHeldToTheDefinitionOnSomeRowsAndTimedOnAll) {
  wrong = {{4, true}};
  const auto found = run({200, 128});
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_FALSE((**found)[0].tiles->buckets[1].exact);
  EXPECT_EQ(rows_of[4], (std::vector<std::size_t>{72, 72}));
  ASSERT_GT(rows_of[8].size(), 2u);
  EXPECT_EQ(rows_of[8][1], 72u);
  EXPECT_EQ(std::set(rows_of[8].begin() + 2, rows_of[8].end()), std::set{std::size_t{200}});
}

TEST_F(TuneTiles, ATierWithoutThemMultipliesOneTokenAlone) {
  tier_.tile_tokens = 0;
  std::uint64_t rounds = 0;
  options_.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, 7u);
    rounds = done;
  };
  const ShapeTuning shape = found();
  EXPECT_EQ(rounds, 7u);
  EXPECT_FALSE(shape.tiles);
  EXPECT_EQ(kept_plans(std::span(&shape, 1)).at(kShape), kFast);
  for (const auto& [call, count] : calls) EXPECT_EQ(call.first, 1u);
}

TEST_F(TuneTiles, ReportsRoundsAndStops) {
  std::uint64_t last = 0;
  std::stop_source stop;
  options_.stop = stop.get_token();
  options_.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, 10u);
    last = done;
  };
  EXPECT_TRUE(run().value().has_value());
  EXPECT_EQ(last, 10u);
  options_.progress = [&](std::uint64_t done, std::uint64_t) {
    if (done == 8) stop.request_stop();  // the first of their rounds
    last = done;
  };
  EXPECT_FALSE(run().value().has_value());
  EXPECT_EQ(last, 8u);
}

std::uint32_t kept(std::uint32_t own, std::initializer_list<Quartiles> ratios) {
  std::vector<TileBucket> buckets;
  for (const Quartiles& ratio : ratios) {
    const bool known = ratio.count > 0;
    buckets.push_back({kTileBuckets[buckets.size()], known, 1.0, 1.0,
                       known ? std::optional(ratio) : std::nullopt});
  }
  return kept_tile_tokens(own, buckets);
}

constexpr Quartiles kFaster{0.7, 0.8, 0.9, 9};
constexpr Quartiles kSlower{1.1, 1.2, 1.3, 9};
constexpr Quartiles kEqual{0.99, 1.0, 1.01, 9};
constexpr Quartiles kUnknown{};

TEST(KeptTileTokens, MovesAsFarAsWhatItChangesIsClearlyFaster) {
  EXPECT_EQ(kept(8, {kEqual, kEqual, kEqual, kEqual, kEqual}), 8u);
  EXPECT_EQ(kept(8, {kSlower, kSlower, kFaster, kFaster, kFaster}), 8u);
  EXPECT_EQ(kept(8, {kEqual, kFaster, kEqual, kEqual, kEqual}), 4u);
  EXPECT_EQ(kept(8, {kFaster, kFaster, kFaster, kFaster, kFaster}), 2u);
  EXPECT_EQ(kept(8, {kEqual, kEqual, kSlower, kEqual, kEqual}), 16u);
  EXPECT_EQ(kept(8, {kSlower, kSlower, kSlower, kSlower, kSlower}), 64u);
  EXPECT_EQ(kept(16, {kFaster, kFaster, kFaster, kEqual, kEqual}), 2u);
  EXPECT_EQ(kept(32, {kEqual, kEqual, kEqual, kFaster, kSlower}), 64u);
}

TEST(KeptTileTokens, MovesOverNoBucketThatIsNotClear) {
  EXPECT_EQ(kept(8, {kFaster, kEqual, kEqual, kEqual, kEqual}), 8u);
  EXPECT_EQ(kept(8, {kFaster, kUnknown, kEqual, kEqual, kEqual}), 8u);
  EXPECT_EQ(kept(8, {kEqual, kEqual, kEqual, kSlower, kSlower}), 8u);
  EXPECT_EQ(kept(8, {kEqual, kEqual, kSlower, kUnknown, kSlower}), 16u);
  EXPECT_EQ(kept(8, {kEqual, {0.9, 0.98, 0.99, 9}, kEqual, kEqual, kEqual}), 8u);
  EXPECT_EQ(kept(8, {kEqual, {0.8, 0.9, 1.0, 9}, kEqual, kEqual, kEqual}), 8u);
  EXPECT_EQ(kept(8, {kEqual, kEqual, {1.01, 1.02, 1.1, 9}, kEqual, kEqual}), 8u);
  EXPECT_EQ(kept(8, {kEqual, kEqual, {1.0, 1.1, 1.2, 9}, kEqual, kEqual}), 8u);
}

// Faster for fewer tokens and slower for more is noise, or no matter of a threshold: what is slower
// as it is comes first.
TEST(KeptTileTokens, ContradictionsEndWhatIsSlower) {
  EXPECT_EQ(kept(8, {kEqual, kFaster, kSlower, kEqual, kEqual}), 16u);
}

#if defined(__x86_64__)
TEST(TuneTilesOfAmx, EitherWayIsExact) {
  const kernels::KernelTable& tier = kernels::kAmxEmulatedTable;
  const auto missing = tier.required_features & ~detect_cpu_features();
  if (missing != 0) GTEST_SKIP() << "this CPU lacks " << describe_cpu_features(missing);
  const std::vector<MatrixShape> shapes{{7 * 16 + 3, 384}};
  const std::uint64_t before = kernels::emulated_configurations();
  const auto found = tune(shapes, {.tier = &tier,
                                   .threads = 3,
                                   .set_bytes = 1,
                                   .timed_seconds = 0.0,
                                   .screening_rounds = 1,
                                   .final_rounds = 1,
                                   .tile_rounds = 1});
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_GT(kernels::emulated_configurations(), before);
  const auto& tiles = (**found)[0].tiles;
  ASSERT_TRUE(tiles);
  for (const TileBucket& bucket : tiles->buckets) {
    EXPECT_TRUE(bucket.exact) << bucket.tokens;
    EXPECT_TRUE(bucket.ratio) << bucket.tokens;
  }
  const backend::Tuning plans = kept_plans(**found);
  EXPECT_TRUE(backend::supports(tier, plans.begin()->second));
}
#endif

TuneReport report() {
  TuneReport report{"amx", 2, std::nullopt, "tern 1 on x", "dir", 1.5, {}};
  report.shapes.push_back({kShape,
                           3,
                           {{{Packing::kTwoBits, {2, 4096, false}}, true, 2e-6, std::nullopt}},
                           0,
                           TileTuning{8,
                                      4,
                                      {{2, false, 0.0, 0.0, std::nullopt},
                                       {4, true, 4e-6, 2e-6, Quartiles{0.4, 0.5, 0.6, 9}}}}});
  return report;
}

TEST(TuneTilesReport, SaysFromHowManyTokensOnAndWhy) {
  TuneReport said = report();
  EXPECT_NE(to_text(said).find("the tier's own\n"
                               "  tile registers from 4 tokens on: clearly faster there than "
                               "vectors\n"
                               "     2 tokens NOT EXACT\n"
                               "     4 tokens       2.0 us a matrix, 0.500 [0.400, 0.600] of "
                               "vectors\n"
                               "1.5 s"),
            std::string::npos)
      << to_text(said);
  said.shapes[0].tiles->kept = 16;
  EXPECT_NE(to_text(said).find("from 16 tokens on: vectors are clearly faster below\n"),
            std::string::npos);
  said.shapes[0].tiles->kept = 8;
  EXPECT_NE(to_text(said).find("from 8 tokens on: the tier's own, and no other number is clearly "
                               "faster\n"),
            std::string::npos);
  said.shapes[0].tiles.reset();
  EXPECT_EQ(to_text(said).find("tile registers"), std::string::npos);
}

TEST(TuneTilesReport, AsJson) {
  TuneReport said = report();
  const auto of = [&] {
    return boost::json::parse(to_json(said)).at("shapes").at(0).at("tile_registers");
  };
  EXPECT_EQ(of(), boost::json::parse(R"({
    "from_tokens": 4, "own": 8, "reason": "clearly faster there than vectors",
    "buckets": [
      {"tokens": 2, "exact": false, "vectors_seconds": null, "tiles_seconds": null, "ratio": null},
      {"tokens": 4, "exact": true, "vectors_seconds": 4e-6, "tiles_seconds": 2e-6,
       "ratio": {"median": 0.5, "lower_quartile": 0.4, "upper_quartile": 0.6, "rounds": 9}}]})"));
  said.shapes[0].tiles.reset();
  EXPECT_TRUE(of().is_null());
}

}  // namespace
}  // namespace tern::diagnose
