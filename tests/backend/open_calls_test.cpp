// Calls that are taken from both ends: each of them once.
#include "backend/cpu/open_calls.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tern::backend {
namespace {

TEST(OpenCalls, AreTakenFromTheFrontOneByOne) {
  OpenCalls calls;
  EXPECT_FALSE(calls.take_first());
  calls.open(7, 9);
  EXPECT_EQ(calls.take_first(), 7u);
  EXPECT_EQ(calls.take_first(), 8u);
  EXPECT_FALSE(calls.take_first());
  EXPECT_EQ(calls.front_end(), 9u);
}

TEST(OpenCalls, AreTakenFromTheBackByHalves) {
  OpenCalls calls;
  EXPECT_FALSE(calls.take_last());
  constexpr std::size_t kMany = 0xfffffff0u;
  calls.open(kMany, kMany + 11);
  for (const std::size_t end : {11u, 6u, 3u, 2u}) {
    const auto last = calls.take_last();
    ASSERT_TRUE(last);
    EXPECT_EQ(last->end, kMany + end);
    EXPECT_EQ(last->begin, kMany + end - end / 2);
  }
  EXPECT_FALSE(calls.take_last());  // one is left
  EXPECT_EQ(calls.take_first(), kMany);
  EXPECT_FALSE(calls.take_first());
  EXPECT_EQ(calls.front_end(), kMany + 1);
}

TEST(OpenCalls, OfManyThreadsAreTakenOnce) {
  constexpr std::size_t kBegin = 5, kEnd = 20005;
  for (int again = 0; again < 50; ++again) {
    OpenCalls calls;
    calls.open(kBegin, kEnd);
    std::vector<std::atomic<int>> taken(kEnd);
    std::vector<std::thread> helpers;
    for (int i = 0; i < 3; ++i) {
      helpers.emplace_back([&] {
        while (const auto last = calls.take_last()) {
          for (std::size_t call = last->begin; call < last->end; ++call) ++taken[call];
        }
      });
    }
    std::size_t next = kBegin;
    while (const auto call = calls.take_first()) {
      ASSERT_EQ(*call, next++);
      ++taken[*call];
    }
    for (std::thread& helper : helpers) helper.join();
    EXPECT_EQ(calls.front_end(), next);
    for (std::size_t call = 0; call < kEnd; ++call) ASSERT_EQ(taken[call], call < kBegin ? 0 : 1);
  }
}

}  // namespace
}  // namespace tern::backend
