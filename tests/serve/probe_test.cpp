// Whether an engine computes, of engines that do, fail and stand still.
#include "serve/probe.h"

#include <gtest/gtest.h>

#include <thread>

namespace tern::serve {
namespace {

using std::chrono::milliseconds;

class ProbeTest : public ::testing::Test {
 protected:
  std::shared_ptr<Probe> probe(Probe::Times times) {
    return std::make_shared<Probe>(Probe::Engine{[this] { return state_; },
                                                 [this](engine::Request request) {
                                                   if (refuses_) return Result<void>(refusal());
                                                   if (throws_) throw std::bad_alloc();
                                                   ++state_.waiting;
                                                   asked_.push_back(std::move(request));
                                                   return Result<void>();
                                                 }},
                                   engine::Request{}, times);
  }
  static Error refusal() { return {ErrorCode::kOverloaded, "full", "engine"}; }
  void answer(bool good) {
    state_.waiting = 0;
    engine::Update update;
    if (good) update.piece.end = engine::EndReason::kMaxTokens;
    if (!good) update.failed = refusal();
    asked_.back().on_update(update);
  }
  Probe::Tell tell() {
    return [this](bool computes) { told_.push_back(computes); };
  }

  engine::EngineState state_;
  bool refuses_ = false;
  bool throws_ = false;
  std::vector<engine::Request> asked_;
  std::vector<bool> told_;
};

TEST_F(ProbeTest, OneTokenStandsForAWhile) {
  const auto it = probe({});
  it->ask(tell());
  it->ask(tell());
  EXPECT_EQ(asked_.size(), 1u);
  EXPECT_TRUE(told_.empty());
  answer(true);
  it->ask(tell());
  EXPECT_EQ(told_, (std::vector<bool>{true, true, true}));
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(ProbeTest, AnotherIsAskedForLater) {
  const auto it = probe({.fresh = milliseconds(0)});
  it->ask(tell());
  answer(true);
  std::this_thread::sleep_for(milliseconds(1));
  it->ask(tell());
  EXPECT_EQ(asked_.size(), 2u);
  answer(false);
  EXPECT_EQ(told_, (std::vector<bool>{true, false}));
}

TEST_F(ProbeTest, AnEngineThatFailsOrRefusesDoesNotCompute) {
  const auto it = probe({});
  it->ask(tell());
  answer(false);
  it->ask(tell());
  EXPECT_EQ(told_, (std::vector<bool>{false, false}));
  refuses_ = true;
  probe({})->ask(tell());
  EXPECT_FALSE(told_.back());
  state_.closed = true;  // ends, which is another matter
  probe({})->ask(tell());
  EXPECT_TRUE(told_.back());
}

TEST_F(ProbeTest, AWantOfMemoryIsOverWhenItIsOver) {
  throws_ = true;
  const auto it = probe({.fresh = milliseconds(0)});
  it->ask(tell());
  EXPECT_EQ(told_, (std::vector<bool>{false}));
  throws_ = false;
  it->ask(tell());
  answer(true);
  EXPECT_EQ(told_, (std::vector<bool>{false, true}));
}

TEST_F(ProbeTest, WhoeverAsksOnceTheTimeIsOverIsToldAndAllBefore) {
  const auto it = probe({.token = milliseconds(1)});
  it->ask(tell());
  std::this_thread::sleep_for(milliseconds(5));
  it->ask(tell());
  EXPECT_EQ(told_, (std::vector<bool>{false, false}));
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(ProbeTest, BusyItIsTheHeartbeatThatCounts) {
  const auto it = probe({.token = milliseconds(0)});
  state_.running = 3;
  it->ask(tell());
  state_.since_step = std::chrono::seconds(61);
  it->ask(tell());
  EXPECT_EQ(told_, (std::vector<bool>{true, false}));
  EXPECT_TRUE(asked_.empty());
}

}  // namespace
}  // namespace tern::serve
