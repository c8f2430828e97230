// Log-probabilities of the tokens of prompts, computed among requests to be answered.
#include <gtest/gtest.h>

#include "engine/scheduler_fixture.h"

namespace tern::engine {
namespace {

using Scores = std::vector<std::vector<TokenLogprob>>;

class SchedulerScoresTest : public SchedulerTest {
 protected:
  // Of each token behind the first, by a sequence of its own.
  Scores expected(const std::vector<text::TokenId>& prompt, std::uint32_t count) {
    auto sequence = must(Sequence::create(*model_));
    Scores found;
    Sequence::AppendOptions options;
    options.every_logit = [&](std::uint32_t position, std::span<const float> logits) {
      if (position + 1 < prompt.size()) {
        found.push_back(log_probabilities(logits, prompt[position + 1], count));
      }
    };
    must(sequence.append(prompt, options));
    return found;
  }
  void add_scored(Scheduler& scheduler, Request request, Heard& heard, Scores& scores) {
    request.on_update = [&heard, &scores](const Update& update) {
      if (!update.prompt_logprobs.empty()) {
        EXPECT_TRUE(heard.tokens.empty());
        EXPECT_FALSE(update.piece.token || update.last());
      }
      scores.insert(scores.end(), update.prompt_logprobs.begin(), update.prompt_logprobs.end());
      heard.hear(update);
    };
    scheduler.add(must(scheduler.prepare(std::move(request))));
  }
};

void expect_same(const Scores& found, const Scores& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].size(), expected[i].size()) << i;
    for (std::size_t j = 0; j < found[i].size(); ++j) {
      EXPECT_EQ(found[i][j].token, expected[i][j].token) << i << ' ' << j;
      EXPECT_EQ(found[i][j].logprob, expected[i][j].logprob) << i << ' ' << j;
    }
  }
}

// In parts, in company, and computed again by who is set back: each once, and no answer changes.
TEST_F(SchedulerScoresTest, AreThoseOfASequenceByItself) {
  const std::vector<Request> requests = mixed();
  for (const std::uint32_t pages : {100u, 9u}) {
    const std::uint64_t before = count("scheduler.set_back");
    const auto s = scheduler(
        {.rows = 16, .beside = 8, .stretch = 1e9, .scored = 5, .sequences = 8, .pages = pages});
    std::vector<Heard> heard(requests.size());
    std::vector<Scores> scores(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      Request wanted = requests[i];
      if (i % 4 != 2) wanted.prompt_logprobs = i % 3;
      if (i % 2 == 0) wanted.answer.logprobs = 1;
      wanted.priority = static_cast<int>(i % 3);  // some come while others are half done
      add_scored(*s, std::move(wanted), heard[i], scores[i]);
      for (int step = 0; step < 3; ++step) s->step();
    }
    for (int step = 0; step < 9000 && !s->idle(); ++step) s->step();
    ASSERT_TRUE(s->idle());
    EXPECT_GT(count("scheduler.set_back"), before);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      const auto count = static_cast<std::uint32_t>(i % 3);
      expect_same(scores[i], i % 4 != 2 ? expected(requests[i].prompt, count) : Scores());
      EXPECT_EQ(heard[i].tokens, alone(requests[i]).tokens);
    }
  }
}

// All logits of a step stand in memory at once.
TEST_F(SchedulerScoresTest, AStepHasSoManyAndTheyTakeTurns) {
  const auto s = scheduler({.rows = 64, .beside = 32, .scored = 4, .sequences = 8, .pages = 100});
  Heard heard[3];
  Scores scores[3];
  for (const std::size_t i : {0, 1}) {
    Request wanted = sized(i == 0 ? 9 : 6);
    wanted.prompt_logprobs = 0;
    add_scored(*s, std::move(wanted), heard[i], scores[i]);
  }
  add(*s, sized(20), heard[2]);
  s->step();
  EXPECT_EQ(count("scheduler.rows"), 24u);
  EXPECT_EQ(heard[2].tokens.size(), 1u);
  EXPECT_EQ(scores[1].size(), 4u);  // the shorter one first
  EXPECT_TRUE(scores[0].empty());
  s->step();
  EXPECT_EQ(scores[0].size(), 4u);
  EXPECT_EQ(scores[1].size(), 4u);
  s->step();
  EXPECT_EQ(scores[1].size(), 5u);
  EXPECT_EQ(heard[1].tokens.size(), 1u);
  for (int step = 0; step < 9 && !s->idle(); ++step) s->step();
  EXPECT_EQ(scores[0].size(), 8u);
  EXPECT_TRUE(s->idle());
}

// Nothing stands before the only token.
TEST_F(SchedulerScoresTest, OneTokenHasNone) {
  const auto s = scheduler({.rows = 64, .beside = 32, .sequences = 8, .pages = 100});
  Heard heard;
  Scores scores;
  Request wanted = sized(1);
  wanted.prompt_logprobs = 3;
  add_scored(*s, std::move(wanted), heard, scores);
  s->step();
  EXPECT_TRUE(scores.empty());
  EXPECT_EQ(heard.tokens.size(), 1u);
}

}  // namespace
}  // namespace tern::engine
