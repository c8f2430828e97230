// Requests from many threads, on the embedded model.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <latch>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "engine/generate.h"
#include "kernels/registry.h"

namespace tern::engine {
namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

// An owner that other threads may wait for.
class Owner {
 public:
  std::function<void(const Update&)> ear() {
    return [this](const Update& update) {
      const std::lock_guard lock(mutex_);
      if (update.piece.token) tokens_.push_back(*update.piece.token);
      if (update.piece.end) end_ = update.piece.end;
      changed_.notify_all();
    };
  }
  EndReason wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return end_.has_value(); });
    return *end_;
  }
  void wait_for_a_token() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !tokens_.empty(); });
  }
  std::vector<text::TokenId> tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<text::TokenId> tokens_;
  std::optional<EndReason> end_;
};

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = must(format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf"));
    tokenizer_.emplace(must(text::Tokenizer::from_gguf(file)));
    model_.emplace(must(model::Model::load(std::move(file), backend_)));
  }
  std::unique_ptr<Engine> engine(std::uint32_t queue = 100, std::uint32_t sequences = 8) {
    return must(
        Engine::create(*model_, *tokenizer_,
                       {.scheduler = {.rows = 32, .beside = 8, .sequences = sequences, .pages = 40},
                        .queue = queue},
                       telemetry_));
  }
  Request request(std::string_view prompt, std::uint32_t max_tokens) {
    Request r;
    r.prompt = tokenizer_->encode(prompt);
    r.answer.sampling.temperature = 1.0f;
    r.answer.max_tokens = max_tokens;
    r.answer.ignore_end = true;
    return r;
  }

  backend::CpuBackend backend_{kernels::best_table(detect_cpu_features()), 1};
  telemetry::Telemetry telemetry_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<model::Model> model_;
};

TEST_F(EngineTest, AnswersRequestsOfManyThreads) {
  constexpr std::size_t kThreads = 6;
  std::vector<Owner> owners(kThreads * 3);
  const auto make = [&](std::size_t i) {
    Request r = request(i % 2 == 0 ? "Once upon a time" : "The king",
                        static_cast<std::uint32_t>(4 + i % 7));
    r.answer.sampling.seed = i;
    return r;
  };
  const auto e = engine();
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t i = t * 3; i < t * 3 + 3; ++i) {
          Request r = make(i);
          r.on_update = owners[i].ear();
          EXPECT_TRUE(e->submit(std::move(r)).ok());
          if (i % 3 == 0) owners[i].wait();
        }
      });
    }
  }
  EXPECT_TRUE(e->wait_idle(Clock::now() + std::chrono::minutes(2)));
  for (std::size_t i = 0; i < owners.size(); ++i) {
    EXPECT_EQ(owners[i].wait(), EndReason::kMaxTokens);
    auto sequence = must(Sequence::create(*model_));
    const Request r = make(i);
    GenerateRequest solo;
    solo.prompt = r.prompt;
    solo.answer = r.answer;
    EXPECT_EQ(owners[i].tokens(), must(generate(sequence, *tokenizer_, solo, telemetry_)).tokens);
  }
  const EngineState state = e->state();
  EXPECT_EQ(state.running + state.waiting, 0u);
  EXPECT_EQ(state.free_pages, 40u);
  EXPECT_GT(state.steps, 4u);
  EXPECT_EQ(state.since_step, Clock::duration::zero());
}

// Whatever happened to the queue meanwhile.
TEST_F(EngineTest, WhoFollowsAnotherTakesItsPlace) {
  const auto e = engine(1, 1);
  Owner follower;
  std::latch begun(1);
  std::latch go_on(1);
  Request first = request("Once", 1);
  first.on_update = [&](const Update& update) {
    if (!update.last()) return;
    begun.count_down();
    go_on.wait();
    Request next = request("The king", 2);
    next.on_update = follower.ear();
    EXPECT_FALSE(e->submit(next).ok());
    next.follows = true;
    EXPECT_TRUE(e->submit(next).ok());
  };
  ASSERT_TRUE(e->submit(first).ok());
  begun.wait();
  Owner waits;
  Request second = request("Once", 2);
  second.on_update = waits.ear();
  ASSERT_TRUE(e->submit(second).ok());
  e->close();
  go_on.count_down();
  EXPECT_EQ(follower.wait(), EndReason::kMaxTokens);
  EXPECT_EQ(waits.wait(), EndReason::kMaxTokens);
  EXPECT_TRUE(e->wait_idle(Clock::now() + std::chrono::minutes(2)));
}

// Its heartbeat is that of the work there is: rest before it is no standstill.
TEST_F(EngineTest, RestIsNoStandstill) {
  const auto e = engine();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(e->wait_idle(Clock::now() + std::chrono::minutes(1)));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const auto before = Clock::now();
    ASSERT_TRUE(e->submit(request("Once", 1)).ok());
    const auto since = e->state().since_step;
    EXPECT_LE(since, Clock::now() - before);
  }
}

TEST_F(EngineTest, AFullQueueIsRefusedWithATimeToComeAgain) {
  const auto e = engine(2, 1);
  std::stop_source stop;
  std::latch begun(1);
  std::latch go_on(1);
  Request r = request("Once", 2);
  r.cancel = stop.get_token();
  r.on_update = [&](const Update& update) {  // holds up the engine
    if (update.last()) return;
    begun.count_down();
    go_on.wait();
  };
  ASSERT_TRUE(e->submit(r).ok());
  begun.wait();
  Owner second;
  r.on_update = second.ear();
  ASSERT_TRUE(e->submit(r).ok());
  const auto held = std::chrono::milliseconds(30);
  std::this_thread::sleep_for(held);
  EXPECT_GE(e->state().since_step, held);  // one runs, one waits
  r.on_update = nullptr;
  ASSERT_TRUE(e->submit(r).ok());
  EXPECT_GE(e->state().since_step, held);
  const auto refused = e->submit(r);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  EXPECT_GE(e->retry_after(), std::chrono::seconds(1));
  EXPECT_LE(e->retry_after(), std::chrono::seconds(60));
  EXPECT_EQ(e->retry_after(3), e->retry_after() + std::chrono::seconds(2));  // none ended yet
  stop.request_stop();
  go_on.count_down();
  EXPECT_EQ(second.wait(), EndReason::kCancelled);
  EXPECT_TRUE(e->wait_idle(Clock::now() + std::chrono::minutes(1)));
  EXPECT_EQ(e->state().since_step, Clock::duration::zero());
  EXPECT_TRUE(e->submit(request("Once", 1)).ok());
}

// Whoever comes between two steps only seems to wait: there is a place for it.
TEST_F(EngineTest, AShortQueueRefusesNobodyForWhomThereIsAPlace) {
  const auto e = engine(1, 3);
  std::latch go_on(1);
  Request r = request("Once", 2);
  r.on_update = [&](const Update&) { go_on.wait(); };  // holds up the engine
  EXPECT_EQ(e->most_requests(), 4u);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(e->submit(r).ok()) << i;
  const auto refused = e->submit(r);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  EXPECT_NE(refused.error().message.find("at most 4 requests"), std::string::npos);
  go_on.count_down();
  EXPECT_TRUE(e->wait_idle(Clock::now() + std::chrono::minutes(1)));
}

// What cannot be taken whole keeps nobody else out, and was no request that ended.
TEST_F(EngineTest, SeveralAreTakenTogetherOrNotAtAll) {
  const auto e = engine(1, 3);
  std::latch go_on(1);
  Request r = request("Once", 2);
  r.on_update = [&](const Update&) { go_on.wait(); };  // holds up the engine
  ASSERT_TRUE(e->submit(r).ok());
  const auto refused = e->submit(std::vector(4, r));
  const std::string why = refused.ok() ? "" : refused.error().message;
  EXPECT_NE(why.find("found 1 and 4 more"), std::string::npos);
  EXPECT_EQ(e->state().running + e->state().waiting, 1u);
  Request wrong = r;
  wrong.prompt.clear();
  EXPECT_FALSE(e->submit(std::vector{r, wrong}).ok());
  EXPECT_TRUE(e->submit(std::vector(3, r)).ok());
  EXPECT_EQ(e->state().running + e->state().waiting, 4u);
  go_on.count_down();
  EXPECT_TRUE(e->wait_idle(Clock::now() + std::chrono::minutes(1)));
  EXPECT_EQ(telemetry_.counters().at("scheduler.finished"), 4u);
}

TEST_F(EngineTest, AfterCloseWhatRunsIsFinishedAndNothingIsTaken) {
  const auto e = engine();
  Owner owner;
  Request r = request("Once", 30);
  r.on_update = owner.ear();
  ASSERT_TRUE(e->submit(std::move(r)).ok());
  e->close();
  const auto refused = e->submit(request("Once", 1));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
  EXPECT_TRUE(e->wait_idle(Clock::now() + std::chrono::minutes(1)));
  EXPECT_EQ(owner.wait(), EndReason::kMaxTokens);
  EXPECT_EQ(owner.tokens().size(), 30u);
}

TEST_F(EngineTest, ItsEndCancelsWhatItStillHas) {
  Owner runs;
  Owner waits;
  {
    const auto e = engine(100, 1);
    Request r = request("Once", 100000);
    r.answer.max_tokens.reset();
    r.on_update = runs.ear();
    ASSERT_TRUE(e->submit(r).ok());
    runs.wait_for_a_token();
    r.on_update = waits.ear();
    ASSERT_TRUE(e->submit(r).ok());
    EXPECT_FALSE(e->wait_idle(Clock::now() + std::chrono::milliseconds(1)));
    e->stop();  // and its destructor once more
    EXPECT_EQ(e->state().running + e->state().waiting, 0u);
  }
  EXPECT_EQ(waits.wait(), EndReason::kCancelled);
  EXPECT_EQ(runs.wait(), EndReason::kCancelled);
}

TEST_F(EngineTest, AQueueOfNoneIsRefused) {
  const auto none =
      Engine::create(*model_, *tokenizer_, {.scheduler = {.pages = 4}, .queue = 0}, telemetry_);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().context, "queue");
}

}  // namespace
}  // namespace tern::engine
