// Many requests at once, on the embedded model: each answer is the one that it gets alone.
#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>

#include "engine/scheduler_fixture.h"

namespace tern::engine {
namespace {

using ::testing::HasSubstr;
using text::TokenId;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST_F(SchedulerTest, AnswersAreThoseThatEachRequestGetsAlone) {
  expect_solo_answers({.rows = 64, .beside = 8, .sequences = 8, .pages = 100});
  EXPECT_EQ(count("scheduler.set_back"), 0u);
  EXPECT_EQ(count("scheduler.finished"), 10u);
}

// A pool that holds two or three of the ten: whoever is set back is computed again. Nothing is
// learnt of how long steps take, so that who takes pages when is the same in each run.
TEST_F(SchedulerTest, BeingSetBackChangesNoAnswer) {
  expect_solo_answers({.rows = 64, .beside = 8, .stretch = kInfinity, .sequences = 8, .pages = 8},
                      1);
  EXPECT_GT(count("scheduler.set_back"), 0u);
}

TEST_F(SchedulerTest, AnswersAreTheSameOneAtATime) {
  expect_solo_answers({.rows = 7, .beside = 1, .sequences = 1, .pages = 8});
}

// Steps with fewer rows for prompts than there are prompts.
TEST_F(SchedulerTest, APromptMayHaveToWaitForAStep) {
  expect_solo_answers({.rows = 7, .beside = 1, .sequences = 4, .pages = 100}, 0);
}

TEST_F(SchedulerTest, PromptsShareAllRowsAndTheSeniorHasTheOddOne) {
  const auto s = scheduler({.rows = 9, .beside = 32, .sequences = 4, .pages = 100});
  Heard senior;
  Heard junior;
  add(*s, sized(5), senior);
  add(*s, sized(5), junior);
  s->step();
  EXPECT_EQ(count("scheduler.rows"), 9u);
  EXPECT_EQ(senior.tokens.size(), 1u);
  EXPECT_TRUE(junior.tokens.empty());
}

TEST_F(SchedulerTest, AStepHasNoMoreThanItsRows) {
  const auto s = scheduler({.rows = 8, .beside = 32, .sequences = 4, .pages = 100});
  Heard decodes;
  Heard prompt;
  add(*s, request("Once", 100), decodes);
  for (int step = 0; step < 2; ++step) s->step();
  ASSERT_EQ(decodes.tokens.size(), 2u);
  const std::uint64_t rows = count("scheduler.rows");
  add(*s, sized(50), prompt);
  s->step();
  EXPECT_EQ(count("scheduler.rows") - rows, 8u);
  EXPECT_FALSE(prompt.failed);
}

// Who starts leaves a page for each that runs, and what they have been promised.
TEST_F(SchedulerTest, ARequestStartsWhereItsPagesAreFree) {
  for (const bool computed : {false, true}) {
    for (const std::size_t tokens : {63u, 64u}) {
      const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 4, .pages = 4});
      Heard first;
      Heard second;
      Request small = sized(10);
      small.answer.max_tokens = 5;
      add(*s, std::move(small), first);
      if (computed) s->step();
      add(*s, sized(tokens), second);
      s->admit();
      EXPECT_EQ(s->running(), tokens == 63 ? 2u : 1u) << computed;
    }
  }
}

// Pages that the one to be set back was promised are free then, those of the others are not.
TEST_F(SchedulerTest, RoomIsMadeWithThePagesOfWhoIsSetBack) {
  for (const std::size_t tokens : {70u, 100u}) {
    const std::uint64_t before = count("scheduler.set_back");
    const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 4, .pages = 5});
    Heard heard[3];
    add(*s, sized(10, 2), heard[0]);
    add(*s, sized(64, 0), heard[1]);
    s->admit();
    ASSERT_EQ(s->running(), 2u);
    add(*s, sized(tokens, 1), heard[2]);
    s->admit();
    EXPECT_EQ(count("scheduler.set_back") - before, tokens == 70 ? 1u : 0u);
  }
}

// It has all pages of the pool and one token to go: no page would be spare.
TEST_F(SchedulerTest, WhoFillsThePoolCanBeSetBack) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 4, .pages = 2});
  Heard low;
  Heard high;
  const Request full = request("Once", 1000);
  add(*s, full, low);
  while (full.prompt.size() + low.tokens.size() < 63) s->step();
  add(*s, sized(3, 1), high);
  for (int step = 0; step < 100 && !s->idle(); ++step) s->step();
  EXPECT_EQ(count("scheduler.set_back"), 1u);
  EXPECT_EQ(high.tokens.size(), 1u);
  EXPECT_EQ(low.end, EndReason::kContextFull);
}

TEST_F(SchedulerTest, PromptsLeaveRoomForThoseThatDecode) {
  const auto s =
      scheduler({.rows = 64, .beside = 5, .stretch = kInfinity, .sequences = 4, .pages = 100});
  Heard first;
  Heard second;
  add(*s, request("Once", 100), first);
  s->step();
  ASSERT_EQ(first.tokens.size(), 1u);
  Request longer = request(std::string(150, 'a').append(" king"), 4);
  const std::size_t prompt = longer.prompt.size();
  ASSERT_GT(prompt, 50u);
  add(*s, std::move(longer), second);
  std::size_t steps = 0;
  while (second.tokens.empty()) {
    const std::uint64_t rows = count("scheduler.rows");
    s->step();
    ++steps;
    EXPECT_LE(count("scheduler.rows") - rows, 6u);
    EXPECT_EQ(first.tokens.size(), std::min<std::size_t>(1 + steps, 100));
  }
  EXPECT_EQ(steps, (prompt + 4) / 5);
}

// Few, and once it is known what a token of a prompt costs beside those that decode, one is all
// they bear.
TEST_F(SchedulerTest, PromptsStretchNoStepBeyondWhatIsBorne) {
  const auto s =
      scheduler({.rows = 64, .beside = 32, .stretch = 1.0 + 1e-9, .sequences = 4, .pages = 100});
  Heard first;
  Heard second;
  add(*s, request("Once", 100), first);
  for (int step = 0; step < 2; ++step) s->step();
  add(*s, sized(100), second);
  for (const std::uint64_t expected : {17u, 2u, 2u}) {
    const std::uint64_t rows = count("scheduler.rows");
    s->step();
    EXPECT_EQ(count("scheduler.rows") - rows, expected);
  }
}

// What prompts cost where nobody decodes is not asked.
TEST_F(SchedulerTest, PromptsAloneAreNoMeasureOfSteps) {
  const auto s =
      scheduler({.rows = 64, .beside = 32, .stretch = 1.0 + 1e-9, .sequences = 4, .pages = 100});
  Heard heard[4];
  add(*s, request("Once", 2), heard[0]);
  for (int step = 0; step < 2; ++step) s->step();
  add(*s, sized(40), heard[1]);
  s->step();
  ASSERT_TRUE(s->idle());
  add(*s, request("Once", 100), heard[2]);
  s->step();
  add(*s, sized(100), heard[3]);
  const std::uint64_t rows = count("scheduler.rows");
  s->step();
  EXPECT_EQ(count("scheduler.rows") - rows, 17u);
}

TEST_F(SchedulerTest, AShortPromptIsNotKeptWaitingByALongOne) {
  const auto s = scheduler({.rows = 16, .beside = 8, .sequences = 4, .pages = 100});
  Heard slow;
  Heard quick;
  add(*s, request(std::string(200, 'a'), 1), slow);
  add(*s, request("Once", 1), quick);
  s->step();
  EXPECT_EQ(quick.tokens.size(), 1u);
  EXPECT_TRUE(slow.tokens.empty());
}

// A row for two prompts or more: each has it in its turn, however many shorter ones come.
TEST_F(SchedulerTest, ALongPromptIsNotKeptWaitingByShortOnes) {
  const auto s =
      scheduler({.rows = 8, .beside = 1, .stretch = kInfinity, .sequences = 4, .pages = 100});
  Heard decodes;
  Heard slow;
  Heard quick[100];
  add(*s, request("Once", 200), decodes);
  s->step();
  add(*s, sized(20), slow);
  std::size_t step = 0;
  for (; step < 100 && !slow.end; ++step) {
    add(*s, sized(3), quick[step]);
    s->step();
  }
  EXPECT_EQ(slow.end, EndReason::kMaxTokens);
  EXPECT_GT(quick[0].tokens.size(), 0u);  // and the other way round
}

TEST_F(SchedulerTest, PriorityGoesFirstAndTakesThePlaceOfOthers) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 1, .pages = 100});
  Heard low;
  Heard equal;
  Heard high;
  const Request patient = request("Once upon a time", 20, 1.0f);
  add(*s, patient, low);
  for (int i = 0; i < 5; ++i) s->step();
  ASSERT_EQ(low.tokens.size(), 5u);
  add(*s, request("The king", 3), equal);
  Request urgent = request("The queen", 3);
  urgent.priority = 1;
  add(*s, std::move(urgent), high);
  for (int i = 0; i < 3; ++i) s->step();
  EXPECT_EQ(high.end, EndReason::kMaxTokens);
  EXPECT_EQ(low.tokens.size(), 5u);
  EXPECT_EQ(count("scheduler.set_back"), 1u);
  while (!low.end) s->step();
  EXPECT_TRUE(equal.tokens.empty());  // came after it
  EXPECT_EQ(low.tokens, alone(patient).tokens);
  while (!s->idle()) s->step();
  EXPECT_EQ(equal.end, EndReason::kMaxTokens);
  // Computed twice, the prompt of the one that was set back counts once.
  std::size_t prompts = patient.prompt.size();
  for (const char* prompt : {"The king", "The queen"}) prompts += request(prompt, 1).prompt.size();
  EXPECT_EQ(count("engine.prompt_tokens"), prompts);
  const auto queued = telemetry_.histograms().at("scheduler.queue_seconds");
  EXPECT_EQ(std::accumulate(queued.counts.begin(), queued.counts.end(), std::uint64_t{0}), 3u);
}

// Setting back what could make no room would only lose work.
TEST_F(SchedulerTest, NobodyIsSetBackInVain) {
  const auto s = scheduler({.rows = 64, .beside = 32, .sequences = 4, .pages = 8});
  Heard senior;
  Heard low;
  Heard big;
  Request first = request(std::string(150, 'a'), 60);
  ASSERT_GT(first.prompt.size(), 140u);
  first.priority = 2;
  add(*s, std::move(first), senior);
  add(*s, request("Once", 30), low);
  for (int i = 0; i < 12; ++i) s->step();
  ASSERT_GT(low.tokens.size(), 0u);
  Request large = request(std::string(200, 'b'), 2);
  ASSERT_GT(large.prompt.size(), 96u);
  large.priority = 1;
  add(*s, std::move(large), big);
  s->step();
  EXPECT_EQ(count("scheduler.set_back"), 0u);
  while (!s->idle()) s->step();
  EXPECT_EQ(big.tokens.size(), 2u);
}

// It comes to its third page first, and there is none.
TEST_F(SchedulerTest, TheMostJuniorWaitsForAPage) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 4, .pages = 4});
  Heard heard[2];
  const Request requests[] = {request("Once", 80), request("Once upon a time there was a", 80)};
  for (int i : {0, 1}) add(*s, requests[i], heard[i]);
  for (int step = 0; step < 300 && !s->idle(); ++step) s->step();
  for (int i : {0, 1}) EXPECT_EQ(heard[i].tokens, alone(requests[i]).tokens);
}

// In the one step of many that leaves prompts out, the only one that decodes may want a page that
// there is not: wherever that falls, the prompt before it goes on.
TEST_F(SchedulerTest, WhoWaitsForAPageHoldsUpNobody) {
  for (std::size_t tokens = 1; tokens <= 26; ++tokens) {
    SCOPED_TRACE(tokens);
    const auto s = scheduler({.rows = 8, .beside = 1, .sequences = 4, .pages = 10});
    Heard first;
    Heard prompt;
    Heard decodes;
    add(*s, request("Once", 3), first);  // so that a step without prompts is known
    while (!s->idle()) s->step();
    add(*s, sized(250), prompt);
    Request longer = sized(tokens);
    longer.answer.max_tokens = 200;
    add(*s, std::move(longer), decodes);
    for (int step = 0; step < 2000 && !s->idle(); ++step) s->step();
    ASSERT_TRUE(s->idle());
    EXPECT_EQ(prompt.tokens.size(), 1u);
    EXPECT_EQ(decodes.tokens.size(), 200u);
  }
}

TEST_F(SchedulerTest, CancelledRequestsEndAndGiveBackTheirPages) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 1, .pages = 20});
  std::stop_source stop_running;
  std::stop_source stop_waiting;
  Heard runs;
  Heard waits;
  Request first = request("Once upon a time", 100);
  const Generation whole = alone(first);
  first.cancel = stop_running.get_token();
  Request second = request("The king", 100);
  second.cancel = stop_waiting.get_token();
  add(*s, std::move(first), runs);
  add(*s, std::move(second), waits);
  for (int i = 0; i < 4; ++i) s->step();
  stop_waiting.request_stop();
  s->step();
  EXPECT_EQ(waits.end, EndReason::kCancelled);
  EXPECT_FALSE(runs.end);
  stop_running.request_stop();
  s->step();
  EXPECT_EQ(runs.end, EndReason::kCancelled);
  EXPECT_EQ(runs.prompt_tokens, whole.prompt_tokens);
  EXPECT_EQ(waits.prompt_tokens, 0u);
  EXPECT_EQ(s->answered(), 1u);  // of the other nothing was computed
  EXPECT_EQ(count("scheduler.finished"), 2u);
  EXPECT_EQ(runs.tokens.size(), 5u);
  EXPECT_EQ(runs.text, whole.text.substr(0, runs.text.size()));
  EXPECT_TRUE(s->idle());
  EXPECT_EQ(s->pool().free_pages(), 20u);
}

TEST_F(SchedulerTest, APromptThatIsCutShortSaysHowMuchWasComputed) {
  const auto s = scheduler({.rows = 16, .beside = 8, .sequences = 1, .pages = 20});
  std::stop_source stop;
  Heard heard;
  Request longer = request(std::string(200, 'q'), 5);
  ASSERT_GT(longer.prompt.size(), 48u);
  longer.cancel = stop.get_token();
  add(*s, std::move(longer), heard);
  for (int i = 0; i < 2; ++i) s->step();
  EXPECT_FALSE(heard.end);
  EXPECT_EQ(heard.prompt_tokens, 0u);
  stop.request_stop();
  s->step();
  EXPECT_EQ(heard.end, EndReason::kCancelled);
  EXPECT_EQ(heard.prompt_tokens, 32u);
}

TEST_F(SchedulerTest, DeadlinesEndWhatRunsAndWhatWaits) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 1, .pages = 20});
  Heard runs;
  Heard waits;
  Heard in_time;
  Request first = request("Once", 1000);
  first.answer.max_tokens.reset();
  first.deadline = Clock::now() + std::chrono::milliseconds(80);
  Request second = request("The king", 5);
  second.deadline = Clock::now() - std::chrono::seconds(1);
  Request third = request("The king", 5);
  third.deadline = Clock::now() + std::chrono::hours(1);
  add(*s, std::move(first), runs);
  add(*s, std::move(second), waits);
  add(*s, std::move(third), in_time);
  s->step();
  EXPECT_EQ(waits.end, EndReason::kDeadline);
  EXPECT_TRUE(waits.tokens.empty());
  while (!s->idle()) s->step();
  EXPECT_TRUE(runs.end == EndReason::kDeadline || runs.end == EndReason::kContextFull);
  EXPECT_EQ(in_time.end, EndReason::kMaxTokens);
}

// What could have become a stop string has become none.
TEST_F(SchedulerTest, ADeadlineLosesNoTextThatWasHeldBack) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 1, .pages = 20});
  Request r = request("Once upon a time", 1);
  const std::string text = alone(r).text;
  ASSERT_FALSE(text.empty());
  r.answer.max_tokens = 100;
  r.answer.stops = {text + "\x01"};
  r.deadline = Clock::now() + std::chrono::seconds(1);
  const Clock::time_point late = *r.deadline;
  Heard heard;
  add(*s, std::move(r), heard);
  s->step();
  ASSERT_EQ(heard.tokens.size(), 1u);
  EXPECT_EQ(heard.text, "");
  std::this_thread::sleep_until(late);
  s->step();
  EXPECT_EQ(heard.end, EndReason::kDeadline);
  EXPECT_EQ(heard.text, text);
}

TEST_F(SchedulerTest, ARequestThatFillsThePoolEndsThere) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 4, .pages = 2});
  EXPECT_EQ(s->context(), 64u);
  Heard heard;
  Heard other;
  add(*s, request("Once", 1000), heard);
  add(*s, request("The king", 1000), other);
  while (!s->idle()) s->step();
  EXPECT_EQ(heard.end, EndReason::kContextFull);
  EXPECT_EQ(other.end, EndReason::kContextFull);
  EXPECT_EQ(request("Once", 1000).prompt.size() + heard.tokens.size(), 64u);
}

TEST_F(SchedulerTest, CancelAllTellsEach) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 1, .pages = 20});
  Heard runs;
  Heard waits;
  add(*s, request("Once", 1000), runs);
  add(*s, request("The king", 1000), waits);
  s->step();
  s->cancel_all();
  EXPECT_EQ(runs.end, EndReason::kCancelled);
  EXPECT_EQ(waits.end, EndReason::kCancelled);
  EXPECT_TRUE(s->idle());
}

TEST_F(SchedulerTest, WhatCannotBeComputedIsRefusedAtOnce) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 4, .pages = 2});
  const auto refusal = [&](Request r) { return s->prepare(std::move(r)).error(); };
  Request r = request("Once", 1);
  r.prompt.assign(64, 5);
  EXPECT_EQ(refusal(r).code, ErrorCode::kContextLength);
  EXPECT_THAT(refusal(r).message, HasSubstr("fewer than 64 tokens"));
  r.prompt.assign(63, 5);
  EXPECT_TRUE(s->prepare(r).ok());
  r.prompt = {0};
  EXPECT_TRUE(s->prepare(r).ok());
  r.prompt = {5, -1};
  EXPECT_EQ(refusal(r).code, ErrorCode::kUsage);
  r.prompt = {static_cast<TokenId>(model_->config().vocab)};
  EXPECT_EQ(refusal(r).context, "token");
  EXPECT_THAT(refusal(r).message,
              HasSubstr("0 to " + std::to_string(model_->config().vocab - 1) + ","));
  r.prompt.clear();
  EXPECT_EQ(refusal(r).context, "prompt");
  r = request("Once", 1);
  r.answer.sampling.temperature = -1.0f;
  EXPECT_EQ(refusal(r).context, "temperature");
}

TEST_F(SchedulerTest, OptionsThatContradictEachOtherAreRefused) {
  const auto refusal = [&](const SchedulerOptions& options) {
    return Scheduler::create(*model_, *tokenizer_, options, telemetry_).error().context;
  };
  EXPECT_EQ(refusal({.rows = 8, .sequences = 8, .pages = 2}), "sequences");
  EXPECT_EQ(refusal({.rows = 8, .sequences = 0, .pages = 2}), "sequences");
  EXPECT_EQ(refusal({.rows = 0, .sequences = 1, .pages = 2}), "sequences");
  EXPECT_EQ(refusal({.rows = 8, .stretch = 1.0, .sequences = 2, .pages = 2}), "stretch");
  EXPECT_EQ(refusal({.rows = 8, .beside = 0, .sequences = 2, .pages = 2}), "beside");
  EXPECT_EQ(refusal({.rows = 8, .sequences = 2, .pages = 0}), "pages");
  EXPECT_EQ(refusal({.rows = 8, .sequences = 2, .pages = 2, .context = 1u << 30}), "context");
  EXPECT_THAT(
      Scheduler::create(*model_, *tokenizer_, {.rows = 8, .sequences = 8, .pages = 2}, telemetry_)
          .error()
          .message,
      HasSubstr("1 to 7 sequences"));
  EXPECT_EQ(scheduler({.sequences = 1, .pages = 1})->context(), 32u);
  const std::uint32_t trained = model_->config().context;
  EXPECT_EQ(scheduler({.sequences = 1, .pages = 1u << 10, .context = trained})->context(), trained);
  EXPECT_EQ(Scheduler::create(*model_, *tokenizer_,
                              {.sequences = 2, .pages = 2, .available_memory = 1000}, telemetry_)
                .error()
                .code,
            ErrorCode::kOutOfMemory);
}

TEST_F(SchedulerTest, CountsWhatItComputed) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 4, .pages = 20});
  Heard heard;
  add(*s, request("Once", 3), heard);
  while (!s->idle()) s->step();
  EXPECT_EQ(count("scheduler.finished"), 1u);
  EXPECT_EQ(count("engine.generated_tokens"), 3u);
  EXPECT_EQ(count("engine.head_searches"), 3u);
  EXPECT_GE(count("engine.head_rows"), 3u);
}

}  // namespace
}  // namespace tern::engine
