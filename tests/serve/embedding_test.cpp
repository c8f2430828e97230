// Requests for vectors and the engine's queue: what they take of it, and what they pay.
#include "serve/embedding.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "serve/asked.h"
#include "serve/served_engine.h"

namespace tern::serve {
namespace {

class EmbeddingTest : public ServedEngineTest {
 protected:
  // Of so many texts of `tokens` tokens.
  std::shared_ptr<Asked> ask(std::size_t texts, std::shared_ptr<Account> account = nullptr,
                             bool base64 = false, std::size_t room = SIZE_MAX,
                             std::optional<std::chrono::milliseconds> deadline = {},
                             std::size_t tokens = 1) {
    auto client = std::make_shared<Asked>("/v1/embeddings", "");
    client->room = room;
    auto call = std::make_shared<Call>(client, telemetry_);
    call->belongs_to(std::move(account));
    EmbeddingRequest request;
    request.inputs.assign(texts, std::vector<text::TokenId>(tokens, 5));
    request.dimensions = model_->config().hidden;
    request.base64 = base64;
    request.deadline = deadline;
    std::make_shared<Embedding>(std::move(call), *served_, *engine_, std::move(request),
                                [](const std::function<void()>& work) { work(); })
        ->start();
    return client;
  }
};

TEST_F(EmbeddingTest, OneOfHigherPriorityGoesFirst) {
  start(1, 8);
  hold();
  std::vector<int> order;
  std::vector<std::shared_ptr<Asked>> clients;
  for (const int priority : {0, 5, -5}) {
    clients.push_back(std::make_shared<Asked>("/v1/embeddings", ""));
    EmbeddingRequest request{.inputs = {{5}}, .dimensions = 1, .priority = priority};
    const auto note = [&order, priority](const std::function<void()>& work) {
      order.push_back(priority);
      work();
    };
    std::make_shared<Embedding>(std::make_shared<Call>(clients.back(), telemetry_), *served_,
                                *engine_, std::move(request), note)
        ->start();
  }
  go_on();
  for (const auto& client : clients) EXPECT_EQ(client->wait().status, 200u);
  EXPECT_EQ(order, (std::vector{5, 0, -5}));
}

TEST_F(EmbeddingTest, WhatTheEngineRefusesNamesTheInput) {
  start(1, 8);
  const auto reply = ask(1, nullptr, false, SIZE_MAX, {}, 2000)->wait();
  EXPECT_EQ(reply.status, 400u);
  EXPECT_NE(reply.body.find("\"param\":\"input\""), std::string::npos) << reply.body;
}

TEST_F(EmbeddingTest, WhatIsRefusedCostsNothing) {
  start(1, 1);
  hold();
  const auto account = std::make_shared<Account>(ApiKey{.name = "alice", .sha256 = ""});
  const auto taken = ask(1, account);
  const auto refused = ask(20, account);
  const net::HttpResponse reply = refused->wait();
  EXPECT_EQ(reply.status, 429u);
  const int seconds = std::atoi(std::string(find_header(reply.headers, "retry-after")).c_str());
  EXPECT_TRUE(1 <= seconds && seconds <= 60) << seconds;
  go_on();
  EXPECT_EQ(taken->wait().status, 200u);
  EXPECT_EQ(account->used().prompt_tokens, 1u);
}

TEST_F(EmbeddingTest, TextsThatWereNotComputedCostNothing) {
  start(1, 8);
  hold();
  const auto account =
      std::make_shared<Account>(ApiKey{.name = "alice", .sha256 = "", .tokens_per_minute = 100});
  const auto client = ask(60, account, false, SIZE_MAX, std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  go_on();
  EXPECT_EQ(client->wait().status, 503u);
  EXPECT_EQ(account->used().prompt_tokens, 0u);
  EXPECT_EQ(net::find_header(account->headers(), "x-ratelimit-remaining-tokens"), "100");
}

// Of 60 tokens, in steps of up to 8.
TEST_F(EmbeddingTest, ATextThatIsCutShortCostsWhatWasComputed) {
  start(2, 8);
  const auto account =
      std::make_shared<Account>(ApiKey{.name = "alice", .sha256 = "", .tokens_per_minute = 100});
  hold_twice(4);
  const auto client = ask(1, account, false, SIZE_MAX, kMostTime, 60);
  go_on();
  EXPECT_EQ(client->wait().status, 503u);
  const std::uint64_t used = account->used().prompt_tokens;
  EXPECT_GE(used, 1u);
  EXPECT_LE(used, 3u * 8);
  const auto left = net::find_header(account->headers(), "x-ratelimit-remaining-tokens");
  EXPECT_GE(std::stoull(std::string(left)), 100 - used);  // what it did not come to is back
}

// What the list takes is known before anything is computed.
TEST_F(EmbeddingTest, AListNeedsRoomForItsReplyBefore) {
  start(2, 8);
  for (const bool base64 : {false, true}) {
    const auto whole = ask(40, nullptr, base64)->wait();
    ASSERT_TRUE(engine_->wait_idle(engine::Clock::now() + std::chrono::minutes(2)));
    const std::uint64_t steps = engine_->state().steps;
    const auto account = std::make_shared<Account>(ApiKey{.name = "alice", .sha256 = ""});
    const auto refused = ask(40, account, base64, whole.body.size());
    EXPECT_EQ(refused->status(), 503u);
    EXPECT_EQ(account->used().prompt_tokens, 0u);
    EXPECT_EQ(engine_->state().steps, steps);
    EXPECT_EQ(ask(40, account, base64, whole.body.size() * 2)->wait().status, 200u);
  }
}

TEST_F(EmbeddingTest, ALongListLeavesTheQueueOpen) {
  start(1, 8);
  hold();
  const auto client = ask(40);
  EXPECT_TRUE(takes_another());
  go_on();
  EXPECT_EQ(client->wait().status, 200u);
}

// Four texts wait when an answer takes the place of the one that runs. That one's end must not
// bring the next of its list into a full queue: the list would keep all others out.
TEST_F(EmbeddingTest, AListShrinksWhereTheQueueIsFull) {
  start(2, 4);
  int update = 0;
  std::vector<bool> taken;
  engine::Request first = answer(4);              // the second token comes in a step without texts
  first.on_update = [&](const engine::Update&) {  // before those of the texts in each step
    if (++update == 1) return stand();
    while (taken.size() < 8 && takes_another()) taken.push_back(true);
    taken.push_back(false);
  };
  ASSERT_TRUE(engine_->submit(first).ok());
  stands_.wait();
  const auto client = ask(10);
  go_on();
  EXPECT_EQ(client->wait().status, 200u);
  ASSERT_TRUE(engine_->wait_idle(engine::Clock::now() + std::chrono::minutes(2)));
  EXPECT_EQ(taken, (std::vector{true, false, false, true, false}));
}

// Nobody else comes then.
TEST_F(EmbeddingTest, AListKeepsItsPlacesWhereTheServerEnds) {
  start(8, 8);
  hold();
  const auto client = ask(8);
  const std::uint64_t steps = engine_->state().steps;
  engine_->close();
  go_on();
  EXPECT_EQ(client->wait().status, 200u);
  ASSERT_TRUE(engine_->wait_idle(engine::Clock::now() + std::chrono::minutes(2)));
  EXPECT_LE(engine_->state().steps - steps, 4u);
}

}  // namespace
}  // namespace tern::serve
