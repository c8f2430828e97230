#include "engine/step_pace.h"

#include <gtest/gtest.h>

#include <limits>

namespace tern::engine {
namespace {

// Steps of 40 ms, or as long as said, to which each token of a prompt adds `a_token`. Ends behind
// one without.
void run(StepPace& pace, int steps, double a_token, double without = 0.040) {
  for (int i = 0; i < steps; ++i) {
    const std::uint32_t tokens = pace.prompt_tokens(64);
    pace.note(tokens, without + a_token * tokens);
  }
  pace.note(0, without);
}

// Who decodes when the first prompt comes waits no longer for it than for the others.
TEST(StepPace, TakesFewUntilItKnowsMore) {
  StepPace pace(2.5);
  EXPECT_EQ(pace.prompt_tokens(64), 0u);  // what a step takes without them is to be known
  pace.note(0, 0.040);
  EXPECT_EQ(pace.prompt_tokens(64), 16u);
  EXPECT_EQ(pace.prompt_tokens(8), 8u);
  pace.note(16, 0.120);
  EXPECT_NEAR(pace.prompt_tokens(64), 12, 1);
}

TEST(StepPace, PromptsGoOnWhereNoStepTellsWhatOneTakesWithoutThem) {
  StepPace pace(2.5);
  EXPECT_EQ(pace.prompt_tokens(64), 0u);
  pace.skip();  // those who decode waited for room
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(pace.prompt_tokens(64), 16u);
    pace.note(16, 0.2);  // without a step without prompts this says nothing
  }
  EXPECT_EQ(pace.prompt_tokens(64), 0u);
  pace.note(0, 0.040);
  EXPECT_EQ(pace.prompt_tokens(64), 16u);
}

TEST(StepPace, StretchesAStepAsFarAsItMay) {
  StepPace pace(2.5);
  pace.note(0, 0.040);
  run(pace, 1, 0.005);
  EXPECT_NEAR(pace.prompt_tokens(64), 12, 1);  // 60 ms more at 5 ms each
  EXPECT_EQ(pace.prompt_tokens(8), 8u);
}

TEST(StepPace, FollowsPromptsThatBecomeDearer) {
  StepPace pace(2.5);
  pace.note(0, 0.040);
  run(pace, 20, 0.002);
  EXPECT_NEAR(pace.prompt_tokens(64), 30, 1);
  run(pace, 20, 0.006);
  EXPECT_NEAR(pace.prompt_tokens(64), 10, 1);
  run(pace, 40, 1.0);
  EXPECT_EQ(pace.prompt_tokens(64), 1u);  // a prompt goes on, whatever it costs
}

TEST(StepPace, FollowsStepsWithoutPrompts) {
  StepPace pace(2.0);
  pace.note(0, 0.040);
  run(pace, 20, 0.004);
  EXPECT_NEAR(pace.prompt_tokens(64), 10, 1);
  for (int i = 0; i < 30; ++i) pace.note(0, 0.080);
  EXPECT_NEAR(pace.prompt_tokens(64), 20, 1);
}

TEST(StepPace, AStepThatWasNoLongerDoesNotOpenTheGates) {
  StepPace pace(2.5);
  pace.note(0, 0.040);
  pace.note(10, 0.030);
  EXPECT_LE(pace.prompt_tokens(100000), 2000u);
}

TEST(StepPace, AStepThatHadToWaitForACoreCountsLittle) {
  StepPace pace(2.5);
  pace.note(0, 0.040);
  run(pace, 20, 0.005);
  ASSERT_NEAR(pace.prompt_tokens(64), 12, 1);
  pace.note(12, 1.0);
  EXPECT_GE(pace.prompt_tokens(64), 7u);
  run(pace, 10, 0.005);
  for (int i = 0; i < 9; ++i) pace.note(0, 0.040);
  pace.note(0, 1.0);
  EXPECT_LE(pace.prompt_tokens(64), 16u);
}

// Those who decode may become slower, or more, while a prompt goes on.
TEST(StepPace, NowAndThenAStepGoesWithoutPrompts) {
  StepPace pace(2.0);
  pace.note(0, 0.040);
  int without = 0;
  for (int i = 0; i < 340; ++i) {
    const std::uint32_t tokens = pace.prompt_tokens(64);
    without += tokens == 0 ? 1 : 0;
    pace.note(tokens, 0.080 + 0.005 * tokens);
  }
  EXPECT_EQ(without, 20);
  EXPECT_NEAR(pace.prompt_tokens(64), 16, 1);
}

// Steps of few tokens are no better witnesses than those of many.
TEST(StepPace, WeighsTokensAlike) {
  StepPace pace(2.0);
  pace.note(0, 0.040);
  for (int i = 0; i < 20; ++i) {
    pace.note(1, 0.050);   // 10 ms longer
    pace.note(19, 0.140);  // 100 ms longer
    pace.note(0, 0.040);
  }
  EXPECT_NEAR(pace.prompt_tokens(64), 7, 1);  // 40 ms at 110 for 20
}

TEST(StepPace, WithoutALimitItTakesAll) {
  StepPace pace(std::numeric_limits<double>::infinity());
  pace.note(0, 0.040);
  pace.note(10, 10.0);
  EXPECT_EQ(pace.prompt_tokens(64), 64u);
}

}  // namespace
}  // namespace tern::engine
