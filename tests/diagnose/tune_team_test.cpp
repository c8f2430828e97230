// Teams of threads on a tier whose speed the test decides: one clock for all threads, which the
// caller's share of a matrix moves by what a team of that size costs.
#include "diagnose/measure/tune_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "core/cpu_features.h"
#include "kernels/registry.h"

namespace tern::diagnose {
namespace {

constexpr std::size_t kRows = 64;
constexpr std::uint32_t kMost = 4;

std::atomic<std::int64_t> elapsed{0};
TimePoint now() { return TimePoint(std::chrono::nanoseconds(elapsed.load())); }

std::thread::id caller;
std::map<std::size_t, std::int64_t> decode_cost;  // by the rows of the caller's share
std::map<std::size_t, std::int64_t> prompts_cost;
std::size_t wrong_rows = 0;  // the share that is computed wrongly
std::size_t wrong_tokens = 0;
std::atomic<std::size_t> wrong_calls{0};

void modelled_linear(const kernels::TernaryTiles& w, std::size_t rows,
                     const kernels::QuantizedRows& x, std::size_t tokens, float* y,
                     std::size_t y_stride) {
  kernels::scalar_table().ternary_linear(w, rows, x, tokens, y, y_stride);
  if (rows == wrong_rows && tokens >= wrong_tokens) {
    ++wrong_calls;
    y[(tokens - 1) * y_stride] = -1e9f;
  }
  if (std::this_thread::get_id() == caller) {
    elapsed += (tokens == 1 ? decode_cost : prompts_cost).at(rows);
  }
}

class TuneTeam : public ::testing::Test {
 protected:
  TuneTeam() {
    tier_.name = "modelled";
    tier_.ternary_linear = modelled_linear;
    caller = std::this_thread::get_id();
    decode_cost = {{16, 1000}, {32, 900}, {64, 2000}};  // four, three or two, one
    prompts_cost = {{16, 8000}, {32, 8000}, {64, 32000}};
    wrong_rows = 0;
    wrong_tokens = 0;
    wrong_calls = 0;
  }
  Result<std::optional<TeamTuning>> run() const { return tune_team(model_, options_); }
  TeamTuning found() const {
    auto found = run();
    EXPECT_TRUE(found.ok() && found->has_value());
    return std::move(**found);
  }

  kernels::KernelTable tier_ = kernels::scalar_table();
  TernaryShapes model_{{{kRows, 128}}, {3}, 3 * kRows * 128 / 4, 0};
  TuneOptions options_{.tier = &tier_,
                       .threads = kMost,
                       .set_bytes = 1u << 20,
                       .timed_seconds = 1e-5,
                       .final_rounds = 5,
                       .now = now};
};

// Of three threads the first has a group of rows, of two it has two.
TEST_F(TuneTeam, KeepsWhatIsClearlyFaster) {
  const TeamTuning team = found();
  ASSERT_EQ(team.candidates.size(), 4u);
  EXPECT_EQ(team.threads(), 2u);
  EXPECT_FALSE(team.candidates[0].decode);
  EXPECT_DOUBLE_EQ(team.candidates[2].decode->median, 0.9);
  EXPECT_DOUBLE_EQ(team.candidates[2].prompts->median, 1.0);
  EXPECT_EQ(team.candidates[2].decode->count, 5u);
  EXPECT_DOUBLE_EQ(team.candidates[1].decode->median, 1.0);
  EXPECT_DOUBLE_EQ(team.candidates[3].decode->median, 2.0);
  EXPECT_FALSE(team.candidates[1].prompts);
  EXPECT_FALSE(team.candidates[3].prompts);
}

TEST_F(TuneTeam, KeepsTheFastestOfThose) {
  decode_cost[64] = 800;
  prompts_cost[64] = 8000;
  EXPECT_EQ(found().threads(), 1u);
  decode_cost[32] = 700;
  EXPECT_EQ(found().threads(), 2u);
}

TEST_F(TuneTeam, KeepsAllCoresWhereNothingIsClearlyFaster) {
  decode_cost[32] = 980;
  const TeamTuning team = found();
  EXPECT_EQ(team.threads(), kMost);
  EXPECT_FALSE(team.candidates[2].prompts);
}

TEST_F(TuneTeam, WhatMakesPromptsSlowerIsNotKept) {
  prompts_cost[32] = 8300;
  const TeamTuning team = found();
  EXPECT_EQ(team.threads(), kMost);
  EXPECT_NEAR(team.candidates[2].prompts->median, 8300.0 / 8000, 1e-9);
}

TEST_F(TuneTeam, WhatIsNotTheDefinitionIsNeverTimed) {
  for (const std::size_t tokens : {std::size_t{1}, kPromptRows}) {
    wrong_rows = 32;
    wrong_tokens = tokens;
    wrong_calls = 0;
    const TeamTuning team = found();
    EXPECT_EQ(team.threads(), kMost);
    EXPECT_FALSE(team.candidates[2].exact);
    EXPECT_FALSE(team.candidates[2].prompts);
    EXPECT_EQ(team.candidates[2].decode.has_value(), tokens > 1);
    EXPECT_GE(wrong_calls, 1u);
    EXPECT_LE(wrong_calls, 4u);  // the proof of two teams, two shares each
  }
}

TEST_F(TuneTeam, ATierThatIsWrongOnAllCoresIsAnError) {
  wrong_rows = kRows / kMost;
  const auto found = run();
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kProofFailed);
  EXPECT_NE(found.error().to_string().find("tier modelled, 4 threads"), std::string::npos);
}

TEST_F(TuneTeam, StopsAndReportsRounds) {
  std::uint64_t rounds = 0;
  std::stop_source stop;
  options_.stop = stop.get_token();
  options_.progress = [&](std::uint64_t done, std::uint64_t total) {
    ++rounds;
    EXPECT_EQ(total, 5u);
    if (done == 2) stop.request_stop();
  };
  const auto found = run();
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found->has_value());
  EXPECT_EQ(rounds, 2u);
}

TEST_F(TuneTeam, MemoryThatTheMachineLacksIsAnError) {
  options_.available_memory = 1000;
  const auto found = run();
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kOutOfMemory);
}

TEST(TeamCandidates, AreFewerAndFewer) {
  const kernels::KernelTable tier = [] {
    kernels::KernelTable other = kernels::scalar_table();
    other.name = "other";
    return other;
  }();
  using Teams = std::vector<std::uint32_t>;
  EXPECT_EQ(team_candidates(tier, 1), (Teams{1}));
  EXPECT_EQ(team_candidates(tier, 2), (Teams{2, 1}));
  EXPECT_EQ(team_candidates(tier, 4), (Teams{4, 3, 2, 1}));
  EXPECT_EQ(team_candidates(tier, 64), (Teams{64, 63, 48, 32, 16, 1}));
  EXPECT_EQ(team_candidates(kernels::scalar_table(), 8), (Teams{8}));
}

// The tiers of this machine, on a shape that no team divides.
TEST(TuneTeamTiers, EveryTeamIsExact) {
  for (const kernels::KernelTable* tier : kernels::all_tables()) {
    if ((tier->required_features & ~detect_cpu_features()) != 0) continue;
    const TernaryShapes model{{{7 * 16 + 3, 384}}, {2}, 0, 0};
    const auto found = tune_team(
        model,
        {.tier = tier, .threads = 3, .set_bytes = 1, .timed_seconds = 0.0, .final_rounds = 1});
    ASSERT_TRUE(found.ok() && found->has_value()) << tier->name;
    for (const TeamCandidate& candidate : (*found)->candidates) {
      EXPECT_TRUE(candidate.exact) << tier->name << ", " << candidate.threads;
    }
  }
}

}  // namespace
}  // namespace tern::diagnose
