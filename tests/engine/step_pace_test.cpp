#include "engine/step_pace.h"

#include <gtest/gtest.h>

#include <limits>

namespace tern::engine {
namespace {

// Steps of 40 ms to which each token of a prompt adds `a_token`.
void run(StepPace& pace, int steps, double a_token, std::uint32_t most = 64) {
  for (int i = 0; i < steps; ++i) {
    const std::uint32_t tokens = pace.prompt_tokens(most);
    pace.note(tokens, 0.040 + a_token * tokens);
  }
}

TEST(StepPace, TakesAllUntilItKnowsMore) {
  StepPace pace(2.5);
  EXPECT_EQ(pace.prompt_tokens(64), 64u);
  pace.note(32, 0.2);  // without a step without prompts this says nothing
  EXPECT_EQ(pace.prompt_tokens(64), 64u);
  pace.note(0, 0.040);
  EXPECT_EQ(pace.prompt_tokens(64), 64u);
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

TEST(StepPace, WithoutALimitItTakesAll) {
  StepPace pace(std::numeric_limits<double>::infinity());
  pace.note(0, 0.040);
  pace.note(10, 10.0);
  EXPECT_EQ(pace.prompt_tokens(64), 64u);
}

}  // namespace
}  // namespace tern::engine
