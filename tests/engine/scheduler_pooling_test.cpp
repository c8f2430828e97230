// Texts to be pooled among requests to be answered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/embedder.h"
#include "engine/scheduler_fixture.h"

namespace tern::engine {
namespace {

using ::testing::HasSubstr;

// Vectors beside answers: those that an Embedder makes, whoever is set back.
TEST_F(SchedulerTest, PooledStatesAreThoseOfAnEmbedder) {
  const std::vector<Request> requests = mixed();
  std::vector<Embedder::Tokens> texts;
  for (const Request& r : requests) texts.push_back(r.prompt);
  for (const auto pooling : {arch::Pooling::kMean, arch::Pooling::kCls, arch::Pooling::kLast}) {
    auto embedder = must(Embedder::create(*model_, {.pooling = pooling, .normalize = false}));
    std::vector<std::vector<float>> expected;
    must(embedder.embed(texts, [&](std::size_t, std::span<const float> vector) {
      expected.emplace_back(vector.begin(), vector.end());
      return Result<void>();
    }));
    for (const std::uint32_t pages : {100u, 9u}) {
      const std::uint64_t before = count("scheduler.set_back");
      const auto s = scheduler({.rows = 16, .beside = 8, .sequences = 8, .pages = pages});
      std::vector<Heard> answers(requests.size());
      std::vector<std::vector<float>> vectors(requests.size());
      for (std::size_t i = 0; i < requests.size(); ++i) {
        Request wanted = requests[i];
        wanted.pooling = pooling;
        wanted.priority = static_cast<int>(i % 3);  // some come while others are half done
        wanted.on_update = [&vectors, i](const Update& update) {
          EXPECT_EQ(update.piece.end, EndReason::kPooled);
          EXPECT_TRUE(vectors[i].empty());
          vectors[i] = update.pooled;
        };
        s->add(must(s->prepare(std::move(wanted))));
        add(*s, requests[i], answers[i]);
        for (int step = 0; step < 2; ++step) s->step();
      }
      for (int step = 0; step < 9000 && !s->idle(); ++step) s->step();
      ASSERT_TRUE(s->idle());
      EXPECT_EQ(vectors, expected);
      EXPECT_GT(count("scheduler.set_back"), before);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        EXPECT_EQ(answers[i].tokens, alone(requests[i]).tokens) << i;
      }
    }
  }
}

// However many wait: an answer gets a token in each step, and they share what a step may take
// beside.
TEST_F(SchedulerTest, TextsToPoolLeaveRoomForThoseThatDecode) {
  const auto s = scheduler({.rows = 64,
                            .beside = 5,
                            .stretch = std::numeric_limits<double>::infinity(),
                            .sequences = 8,
                            .pages = 100});
  Heard answer;
  add(*s, request("Once", 100), answer);
  s->step();
  ASSERT_EQ(answer.tokens.size(), 1u);
  Heard pooled[3];
  for (Heard& heard : pooled) {
    Request text = sized(40, 1);  // senior to the answer
    text.pooling = arch::Pooling::kMean;
    add(*s, std::move(text), heard);
  }
  for (std::size_t step = 0; step < 24; ++step) {
    const std::uint64_t rows = count("scheduler.rows");
    s->step();
    EXPECT_EQ(count("scheduler.rows") - rows, 6u);
    EXPECT_EQ(answer.tokens.size(), step + 2);
  }
  for (const Heard& heard : pooled) EXPECT_EQ(heard.end, EndReason::kPooled);
}

// It needs no room for a token after it.
TEST_F(SchedulerTest, ATextToPoolMayFillTheContext) {
  const auto s = scheduler({.rows = 64, .beside = 8, .sequences = 4, .pages = 2});
  ASSERT_EQ(s->context(), 64u);
  Heard heard;
  Request whole = sized(64);
  whole.pooling = arch::Pooling::kLast;
  Request longer = sized(65);
  longer.pooling = arch::Pooling::kLast;
  add(*s, std::move(whole), heard);
  for (int step = 0; step < 10 && !s->idle(); ++step) s->step();
  EXPECT_EQ(heard.end, EndReason::kPooled);
  const auto refused = s->prepare(std::move(longer));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kContextLength);
  EXPECT_THAT(refused.error().message, HasSubstr("65 tokens do not fit into the context of 64"));
  EXPECT_FALSE(s->prepare(sized(64)));
}

}  // namespace
}  // namespace tern::engine
