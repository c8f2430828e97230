// Tuning on tiers whose speed the test decides: a kernel that moves the clock by what its plan
// costs, and computes as the scalar tier does.
#include "diagnose/measure/tune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "core/cpu_features.h"
#include "diagnose/measure/tune_report.h"
#include "kernels/registry.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::diagnose {
namespace {

using backend::MatrixPlan;
using backend::MatrixShape;
using kernels::Packing;
using std::chrono::nanoseconds;

const MatrixPlan kOwn{Packing::kTwoBits, {2, 4096, fetches_into_second_cache()}};
const MatrixPlan kFast{Packing::kFiveTrits, {1, 1024, fetches_into_second_cache()}};
const MatrixPlan kWrong{Packing::kTwoBits, {4, 0, fetches_into_second_cache()}};
const MatrixPlan kAlsoFast{Packing::kFiveTrits, {2, 1024, fetches_into_second_cache()}};
constexpr std::int64_t kOwnCost = 1000;

thread_local nanoseconds elapsed{0};
TimePoint now() { return TimePoint(elapsed); }

std::int64_t fast_cost = 0;  // of kFast; others cost more than kOwn
std::int64_t also_fast_cost = 0;
std::size_t own_calls = 0;
std::vector<std::pair<Packing, const std::uint8_t*>> read_matrices;
std::size_t fast_calls = 0;
std::size_t wrong_calls = 0;  // of kWrong
std::int64_t slowdown = 1;

void modelled_linear(const kernels::TernaryTiles& w, std::size_t rows,
                     const kernels::QuantizedRows& x, std::size_t tokens, float* y,
                     std::size_t y_stride) {
  kernels::scalar_table().ternary_linear(w, rows, x, tokens, y, y_stride);
  const MatrixPlan plan{w.packing, w.read};
  std::int64_t cost = kOwnCost + 200;
  read_matrices.emplace_back(w.packing, w.codes);
  if (plan == kOwn) {
    ++own_calls;
    cost = kOwnCost;
  }
  if (plan == kAlsoFast) cost = also_fast_cost;
  if (plan == kFast) {
    ++fast_calls;
    cost = fast_cost;
  }
  if (plan == kWrong) {  // the fastest of all, and almost right
    ++wrong_calls;
    cost = 1;
    y[rows - 1] = -y[rows - 1];
  }
  elapsed += nanoseconds(cost * slowdown);
}

kernels::KernelTable modelled_tier() {
  kernels::KernelTable tier = kernels::scalar_table();
  tier.name = "modelled";
  tier.packing = kOwn.packing;
  tier.read = kOwn.read;
  tier.ternary_linear = modelled_linear;
  return tier;
}

class Tune : public ::testing::Test {
 protected:
  Tune() {
    fast_cost = 900;
    also_fast_cost = kOwnCost + 200;
    own_calls = 0;
    read_matrices.clear();
    fast_calls = 0;
    wrong_calls = 0;
    slowdown = 1;
  }
  Result<std::optional<std::vector<ShapeTuning>>> run(std::vector<MatrixShape> shapes) const {
    return tune(shapes, options_);
  }
  ShapeTuning one(MatrixShape shape = {48, 128}) const {
    auto found = run({shape});
    EXPECT_TRUE(found.ok() && found->has_value());
    return std::move((**found)[0]);
  }

  const kernels::KernelTable tier_ = modelled_tier();
  TuneOptions options_{.tier = &tier_,
                       .threads = 1,
                       .set_bytes = 5000,
                       .timed_seconds = 9.5e-6,  // ten matrices
                       .screening_rounds = 2,
                       .final_rounds = 5,
                       .now = now};
};

TEST_F(Tune, KeepsWhatIsClearlyFaster) {
  const ShapeTuning found = one();
  EXPECT_EQ(found.candidates[found.kept].plan, kFast);
  EXPECT_DOUBLE_EQ(found.candidates[found.kept].ratio->median, 0.9);
  EXPECT_EQ(found.candidates[found.kept].ratio->count, 5u);
  EXPECT_NEAR(found.candidates[found.kept].seconds, 900e-9, 1e-12);
  EXPECT_EQ(found.candidates[0].plan, kOwn);
  EXPECT_NEAR(found.candidates[0].seconds, 1000e-9, 1e-12);
  const auto kept = kept_plans(std::span(&found, 1));
  EXPECT_EQ(kept, (backend::Tuning{{{48, 128}, kFast}}));
}

TEST_F(Tune, KeepsTheOwnPlanWhereNothingIsClearlyFaster) {
  fast_cost = 980;
  const ShapeTuning found = one();
  EXPECT_EQ(found.kept, 0u);
  EXPECT_EQ(kept_plans(std::span(&found, 1)), (backend::Tuning{{{48, 128}, kOwn}}));
}

TEST_F(Tune, KeepsTheFastestAndOfEqualOnesTheFirst) {
  for (const std::int64_t cost : {900, 950}) {
    also_fast_cost = cost;
    const ShapeTuning found = one();
    EXPECT_EQ(found.candidates[found.kept].plan, kFast) << cost;
  }
  also_fast_cost = 850;
  const ShapeTuning found = one();
  EXPECT_EQ(found.candidates[found.kept].plan, kAlsoFast);
}

// Besides the tier's own plan the fastest few, and of those that are as fast as each other the
// first.
TEST_F(Tune, ComparesFewInTheEnd) {
  const ShapeTuning found = one();
  std::vector<std::size_t> compared;
  std::vector<std::size_t> slow;
  for (std::size_t i = 1; i < found.candidates.size(); ++i) {
    const TuneCandidate& candidate = found.candidates[i];
    if (candidate.ratio) compared.push_back(i);
    if (candidate.exact && !(candidate.plan == kFast)) slow.push_back(i);
  }
  std::vector<std::size_t> expected{slow[0], slow[1], found.kept};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(compared, expected);
}

// Whatever the caches kept of a matrix was read as long ago as it can be.
TEST_F(Tune, EachTimingGoesOnWhereTheOneBeforeItEnded) {
  options_.timed_seconds = 2.5e-6;  // three of four matrices
  one();
  std::map<Packing, std::set<const std::uint8_t*>> sets;
  for (const auto& [packing, codes] : read_matrices) sets[packing].insert(codes);
  const auto index_of = [&](const auto& call) {
    const auto& set = sets[call.first];
    EXPECT_EQ(set.size(), 4u);
    return std::distance(set.begin(), set.find(call.second));
  };
  const std::size_t proof = 24;  // each candidate on the first matrix
  for (std::size_t i = proof + 1; i < read_matrices.size(); ++i) {
    ASSERT_EQ(index_of(read_matrices[i]), (index_of(read_matrices[i - 1]) + 1) % 4) << i;
  }
}

TEST_F(Tune, ATierWithoutAChoiceIsNotTimed) {
  options_.tier = &kernels::scalar_table();
  options_.progress = [](std::uint64_t, std::uint64_t) { ADD_FAILURE(); };
  const ShapeTuning found = one();
  EXPECT_EQ(found.candidates.size(), 1u);
  EXPECT_EQ(found.candidates[0].seconds, 0.0);
}

// A machine that slows down from round to round disturbs all of a round alike.
TEST_F(Tune, ComparesWithinARound) {
  options_.progress = [](std::uint64_t done, std::uint64_t) {
    slowdown = static_cast<std::int64_t>(1 + done);
  };
  const ShapeTuning found = one();
  const auto& ratio = found.candidates[found.kept].ratio;
  ASSERT_TRUE(ratio);
  EXPECT_DOUBLE_EQ(ratio->lower, 0.9);
  EXPECT_DOUBLE_EQ(ratio->upper, 0.9);
}

// Others that take the cores between two rounds make it longer, but not without end.
TEST_F(Tune, ATimingThatTakesFarLongerThanPlannedEnds) {
  options_.timed_seconds = 1e-3;  // a thousand matrices
  options_.progress = [](std::uint64_t, std::uint64_t) { slowdown = 1000; };
  const TimePoint start = now();
  const ShapeTuning found = one();
  EXPECT_EQ(found.candidates[found.kept].plan, kFast);
  EXPECT_DOUBLE_EQ(found.candidates[found.kept].ratio->median, 0.9);
  const std::size_t timings = 23 + 5 * 4;  // after the first round: of those that are exact
  const auto most = timings * (20 + 16 * 1200e-3) * 1e-3;
  EXPECT_LT(std::chrono::duration<double>(now() - start).count(), most + 50e-3);
}

TEST_F(Tune, WhatIsNotTheDefinitionIsNeverTimed) {
  const ShapeTuning found = one();
  for (const TuneCandidate& candidate : found.candidates) {
    EXPECT_EQ(candidate.exact, !(candidate.plan == kWrong));
    EXPECT_EQ(candidate.seconds > 0.0, candidate.exact);
  }
  EXPECT_EQ(wrong_calls, 1u);
}

TEST_F(Tune, ATierWhoseOwnPlanIsWrongIsAnError) {
  kernels::KernelTable broken = tier_;
  broken.packing = kWrong.packing;
  broken.read = kWrong.read;
  options_.tier = &broken;
  const auto found = run({{48, 128}});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kProofFailed);
  EXPECT_NE(found.error().to_string().find("tier modelled, 48 x 128"), std::string::npos);
}

TEST_F(Tune, TakesEnoughMatricesForTheSetAndForATiming) {
  EXPECT_EQ(one({48, 128}).matrices, 4u);     // 1344 bytes in five trits
  EXPECT_EQ(fast_calls, 1u + 7 * 10);         // the proof; 7 rounds of 10 matrices of a microsecond
  EXPECT_EQ(own_calls, 1u + 2 * 4 + 7 * 10);  // and two walks
  fast_calls = 0;
  options_.set_bytes = 1344;
  EXPECT_EQ(one({48, 128}).matrices, 1u);
  options_.set_bytes = 5000;
  fast_calls = 0;
  options_.timed_seconds = 0.0;
  EXPECT_EQ(one({4096, 128}).matrices, 1u);
  EXPECT_EQ(fast_calls, 1u + 7);
}

TEST_F(Tune, EveryShapeHasItsOwnPlan) {
  const auto found = run({{16, 128}, {33, 128}});
  ASSERT_TRUE(found.ok() && found->has_value());
  ASSERT_EQ((*found)->size(), 2u);
  EXPECT_EQ((**found)[1].shape, (MatrixShape{33, 128}));
}

// Types with blocks of 64 columns, as iq2_bn, have such.
TEST_F(Tune, TakesShapesThatAreNoWholeBlocksOfItsOwnType) {
  const auto found = run({{33, 64}, {1, 192}});
  ASSERT_TRUE(found.ok() && found->has_value());
  ASSERT_EQ((*found)->size(), 2u);
  EXPECT_EQ((**found)[0].shape, (MatrixShape{33, 64}));
  EXPECT_TRUE((**found)[0].candidates.front().exact);
}

TEST_F(Tune, ReportsRoundsAndStops) {
  std::uint64_t last = 0;
  options_.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(done, last + 1);
    EXPECT_EQ(total, 14u);
    last = done;
  };
  ASSERT_TRUE(run({{16, 128}, {33, 128}}).ok());
  EXPECT_EQ(last, 14u);
  for (const std::uint64_t round : {1, 3}) {  // while all are timed, and in the end
    std::stop_source stop;
    options_.stop = stop.get_token();
    options_.progress = [&](std::uint64_t done, std::uint64_t) {
      if (done == round) stop.request_stop();
      last = done;
    };
    const auto found = run({{16, 128}});
    ASSERT_TRUE(found.ok());
    EXPECT_FALSE(found->has_value());
    EXPECT_EQ(last, round);
  }
}

TEST(TernaryShapes, AreThoseOfTheTernaryMatricesAndEachOnce) {
  const test::TemporaryDirectory directory;
  const auto file = format::GgufFile::open(test::write_tiny_model(directory.path(), {}));
  ASSERT_TRUE(file.ok());
  const TernaryShapes found = ternary_shapes(*file, kernels::scalar_table());
  // Key and value; query and output; down; gate and up: of two layers.
  EXPECT_EQ(found.shapes,
            (std::vector<MatrixShape>{{64, 128}, {128, 128}, {128, 384}, {384, 128}}));
  EXPECT_EQ(found.counts, (std::vector<std::uint64_t>{4, 4, 2, 4}));
  EXPECT_EQ(found.bytes, 2u * (2 * 64 * 128 + 2 * 128 * 128 + 3 * 128 * 384) / 4);
}

// Else what was tuned for another model would be another layout of this one's packed weights.
TEST(TernaryShapes, HavePlansOfTheirOwnAlone) {
  TernaryShapes ternary;
  ternary.shapes = {{64, 128}, {128, 384}};
  const backend::Tuning own{{{64, 128}, kFast}, {{128, 384}, kOwn}};
  EXPECT_EQ(plans_of(ternary, own), own);
  backend::Tuning more = own;
  for (const MatrixShape& other : {MatrixShape{64, 384}, MatrixShape{1, 1}, MatrixShape{9999, 1}}) {
    more[other] = kFast;
  }
  EXPECT_EQ(plans_of(ternary, more), own);
  EXPECT_TRUE(plans_of({}, more).empty());
}

TEST(TuneReport, SaysThatOneThatIsAloneIsNotTimed) {
  TuneReport report{"scalar", 2, std::nullopt, "tern 1 on x", "dir", 0.1, {}};
  report.shapes.push_back({{64, 128}, 1, {{kOwn, true, 0.0, std::nullopt}}, 0, std::nullopt});
  EXPECT_THAT(to_json(report), ::testing::HasSubstr("\"exact\":true,\"seconds\":null"));
  EXPECT_THAT(to_text(report),
              ::testing::HasSubstr("4096 bytes ahead    not timed, the tier's own"));
}

TEST_F(Tune, MemoryThatTheMachineLacksIsAnError) {
  options_.available_memory = 10000;
  const auto found = run({{48, 128}});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kOutOfMemory);
}

// The tiers of this machine, on a shape that neither streams nor threads divide.
TEST(TuneTiers, EveryCandidateIsExact) {
  for (const kernels::KernelTable* tier : kernels::all_tables()) {
    if ((tier->required_features & ~detect_cpu_features()) != 0) continue;
    const std::vector<MatrixShape> shapes{{7 * 16 + 3, 384}};
    const auto found = tune(shapes, {.tier = tier,
                                     .threads = 3,
                                     .set_bytes = 1,
                                     .timed_seconds = 0.0,
                                     .screening_rounds = 1,
                                     .final_rounds = 1});
    ASSERT_TRUE(found.ok() && found->has_value()) << tier->name;
    const auto& candidates = (**found)[0].candidates;
    EXPECT_EQ(candidates.size(), tuning_candidates(*tier).size());
    for (const TuneCandidate& candidate : candidates) {
      EXPECT_TRUE(candidate.exact) << tier->name << ": " << to_text(candidate.plan);
    }
  }
}

TEST(TuningCandidates, AreEachOnceAndTheOwnPlanFirst) {
  const kernels::KernelTable tier = modelled_tier();
  const auto plans = tuning_candidates(tier);
  EXPECT_EQ(plans.front(), kOwn);
  EXPECT_EQ(plans.size(), 2u * 3 * 4);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    EXPECT_TRUE(backend::supports(tier, plans[i]));
    EXPECT_EQ(std::count(plans.begin(), plans.end(), plans[i]), 1);
  }
  EXPECT_EQ(tuning_candidates(kernels::scalar_table()).size(), 1u);
}

TEST(ClearlyFaster, WantsAMarginAndMostRounds) {
  EXPECT_TRUE(clearly_faster({0.90, 0.97, 0.99, 25}));
  EXPECT_FALSE(clearly_faster({0.90, 0.98, 0.99, 25}));
  EXPECT_FALSE(clearly_faster({0.80, 0.90, 1.00, 25}));
}

TEST(TuneReport, SaysWhatWasTriedKeptAndWhy) {
  TuneReport report{"avx2", 2, std::nullopt, "tern 1 on x", "dir", 1.5, {}};
  report.shapes.push_back({{640, 2560},
                           3,
                           {{kOwn, true, 2e-6, std::nullopt},
                            {kFast, true, 1e-6, Quartiles{0.4, 0.5, 0.6, 25}},
                            {kWrong, false, 0.0, std::nullopt}},
                           1,
                           std::nullopt});
  EXPECT_EQ(to_text(report),
            "tern 1 on x\n"
            "640 x 2560: 3 candidates over 3 matrices, 1 NOT EXACT; kept five-trits, 1 stream, "
            "1024 bytes ahead: clearly faster than the tier's own plan\n"
            "    two-bits, 2 streams, 4096 bytes ahead          2.0 us a matrix, the tier's own\n"
            "  * five-trits, 1 stream, 1024 bytes ahead         1.0 us a matrix, 0.500 [0.400, "
            "0.600] of the tier's own\n"
            "1.5 s; kept in dir\n");
  report.shapes[0].kept = 0;
  report.kept_in = "";
  const std::string text = to_text(report);
  EXPECT_NE(text.find("4096 bytes ahead: nothing is clearly faster\n"), std::string::npos);
  EXPECT_NE(text.find("1.5 s; not kept\n"), std::string::npos);
}

TEST(TuneReport, SaysHowManyThreadsWereKeptAndWhy) {
  TuneReport report{"avx2", 4, std::nullopt, "tern 1 on x", "dir", 1.5, {}};
  report.team = TeamTuning{{{8, true, std::nullopt, std::nullopt},
                            {7, false, std::nullopt, std::nullopt},
                            {4, true, Quartiles{0.8, 0.9, 0.95, 25}, Quartiles{0.9, 1.0, 1.1, 25}}},
                           2};
  EXPECT_EQ(to_text(report),
            "tern 1 on x\n"
            "threads: kept 4: clearly faster than one for each core\n"
            "    8\n"
            "    7, NOT EXACT\n"
            "  * 4, decode 0.900 [0.800, 0.950], prompts 1.000 [0.900, 1.100] of the first\n"
            "1.5 s; kept in dir\n");
  report.team->kept = 0;
  EXPECT_NE(to_text(report).find("kept 8: what is faster makes prompts slower"), std::string::npos);
  report.team->candidates[2].prompts.reset();
  EXPECT_NE(to_text(report).find("kept 8: nothing is clearly faster"), std::string::npos);
}

}  // namespace
}  // namespace tern::diagnose
