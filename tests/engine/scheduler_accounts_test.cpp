// Whose turn it is where requests of several accounts wait.
#include <gtest/gtest.h>

#include "engine/scheduler_fixture.h"

namespace tern::engine {
namespace {

class SchedulerAccountsTest : public SchedulerTest {
 protected:
  // Each writes its account into begun_ with its first token and into ended_ with its last.
  void add_of(Scheduler& scheduler, const std::string& account, std::uint32_t tokens,
              int priority = 0) {
    Request r = request("Once", tokens);
    r.account = account;
    r.priority = priority;
    r.on_update = [this, account, begins = true](const Update& update) mutable {
      if (std::exchange(begins, false)) begun_ += account;
      if (update.last()) ended_ += account;
    };
    scheduler.add(must(scheduler.prepare(std::move(r))));
  }
  void finish(Scheduler& scheduler) {
    for (int step = 0; step < 2000 && !scheduler.idle(); ++step) scheduler.step();
    ASSERT_TRUE(scheduler.idle());
  }

  std::string begun_;
  std::string ended_;
};

TEST_F(SchedulerAccountsTest, TakeTurnsOnOnePlace) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 1, .pages = 100});
  for (int i = 0; i < 4; ++i) add_of(*s, "a", 2);
  for (int i = 0; i < 2; ++i) add_of(*s, "b", 2);
  add_of(*s, "c", 2);
  finish(*s);
  EXPECT_EQ(begun_, "abcabaa");
}

// However long the answers are that it asks for.
TEST_F(SchedulerAccountsTest, TheFewestPlacesGoFirst) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 2, .pages = 100});
  for (const std::uint32_t tokens : {20u, 60u, 50u}) add_of(*s, "a", tokens);
  s->step();
  ASSERT_EQ(begun_, "aa");
  for (int i = 0; i < 4; ++i) add_of(*s, "b", 2);
  finish(*s);
  EXPECT_EQ(begun_, "aabbbba");
}

TEST_F(SchedulerAccountsTest, PriorityGoesBeforeTurns) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 1, .pages = 100});
  add_of(*s, "a", 2, 1);
  s->step();
  add_of(*s, "b", 2);
  add_of(*s, "a", 2, 1);
  finish(*s);
  EXPECT_EQ(begun_, "aab");
}

// The second of a's came before b's, but began behind it: it makes room, not b's.
TEST_F(SchedulerAccountsTest, WhoBeganFirstIsSenior) {
  const auto s = scheduler({.rows = 64, .beside = 8, .stretch = 1e9, .sequences = 2, .pages = 4});
  add_of(*s, "a", 20);
  add_of(*s, "x", 1);
  add_of(*s, "a", 80);
  add_of(*s, "b", 80);
  finish(*s);
  EXPECT_EQ(begun_, "axba");
  EXPECT_EQ(ended_, "xaba");
  EXPECT_GT(count("scheduler.set_back"), 0u);
}

// It had its turn, and goes on before others have theirs.
TEST_F(SchedulerAccountsTest, WhoWasSetBackGoesBeforeThoseThatNeverRan) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 1, .pages = 100});
  add_of(*s, "a", 20);
  s->step();
  add_of(*s, "b", 2);
  add_of(*s, "c", 2, 1);
  finish(*s);
  EXPECT_EQ(begun_, "acb");
  EXPECT_EQ(ended_, "cab");
}

}  // namespace
}  // namespace tern::engine
