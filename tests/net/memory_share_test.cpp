#include "net/memory_share.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

namespace tern::net {
namespace {

TEST(MemoryShare, AllTogetherHoldNoMoreThanThereIs) {
  const auto pot = std::make_shared<MemoryPot>(100);
  MemoryShare first(pot);
  MemoryShare second(pot);
  EXPECT_TRUE(first.resize(60));
  EXPECT_FALSE(second.resize(41));
  EXPECT_FALSE(second.resize(SIZE_MAX - 10));  // nor does the sum go round
  EXPECT_EQ(pot->used, 60u);
  EXPECT_TRUE(second.resize(40));
  EXPECT_TRUE(first.resize(10));
  pot->most = 30;  // what is held stays, and may shrink
  EXPECT_FALSE(second.resize(41));
  EXPECT_TRUE(second.resize(39));
  first.give_back();
  EXPECT_EQ(pot->used, 39u);
}

TEST(MemoryShare, WhatIsMovedFromMayBeFilledAnew) {
  const auto pot = std::make_shared<MemoryPot>(100);
  MemoryShare first(pot);
  EXPECT_TRUE(first.resize(60));
  {
    const MemoryShare second(std::move(first));
    EXPECT_EQ(pot->used, 60u);
    EXPECT_TRUE(first.resize(40));  // NOLINT: what a connection does
    EXPECT_EQ(pot->used, 100u);
  }
  EXPECT_EQ(pot->used, 40u);
}

TEST(MemoryShare, WhatIsRefusedIsInNobodysWay) {
  const auto pot = std::make_shared<MemoryPot>(100);
  std::atomic<int> tries{0};
  std::thread greedy([&] {
    MemoryShare share(pot);
    while (tries < 5'000'000) {
      if (!share.resize(101)) ++tries;
    }
  });
  MemoryShare share(pot);
  int refused = 0;
  while (tries < 5'000'000) {
    if (!share.resize(10)) ++refused;
    share.resize(0);
  }
  greedy.join();
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(pot->used, 0u);
}

}  // namespace
}  // namespace tern::net
