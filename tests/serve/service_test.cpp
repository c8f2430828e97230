// What a service does with requests at its end, and with the bodies that it keeps.
#include "serve/service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <latch>
#include <new>
#include <string>
#include <thread>

#include "core/sha256.h"
#include "serve/asked.h"
#include "serve/served_engine.h"

namespace tern::serve {
namespace {

engine::Clock::time_point in_two_minutes() {
  return engine::Clock::now() + std::chrono::minutes(2);
}

class ServiceTest : public ServedEngineTest {
 protected:
  void SetUp() override {
    ServedEngineTest::SetUp();
    start(2, 8);
    service_ = std::make_unique<Service>(*served_, *engine_, telemetry_, ServiceOptions());
  }
  std::shared_ptr<Asked> ask(const std::string& path, const std::string& body,
                             std::function<void()> on_body = nullptr) {
    auto client = std::make_shared<Asked>(path, body);
    client->on_body = std::move(on_body);
    service_->handle(client);
    return client;
  }

  // Both threads that read stand until readers_go_on_, so that a third request waits for them.
  void keep_readers_busy() {
    for (auto& client : read_) {
      client = ask("/tokenize", kText, [&] {
        busy_.count_down();
        readers_go_on_.wait();
      });
    }
    busy_.wait();
  }

  const std::string kText = R"({"content": "Once"})";
  std::array<std::shared_ptr<Asked>, 2> read_;
  std::latch busy_{2};
  std::latch readers_go_on_{1};
  std::unique_ptr<Service> service_;
};

TEST_F(ServiceTest, WhatWaitsToBeReadIsToldOfTheEnd) {
  keep_readers_busy();
  const auto third = ask("/tokenize", kText);
  service_->close();
  EXPECT_EQ(ask("/tokenize", kText)->status(), 503u);
  EXPECT_EQ(third->status(), 503u);
  EXPECT_FALSE(service_->wait_closed(engine::Clock::now()));
  readers_go_on_.count_down();
  EXPECT_TRUE(service_->wait_closed(in_two_minutes()));
  for (const auto& client : read_) EXPECT_EQ(client->status(), 200u);
}

TEST_F(ServiceTest, NothingIsReadForAClientThatHasLeft) {
  keep_readers_busy();
  bool was_read = false;
  const auto third = ask("/tokenize", kText, [&] { was_read = true; });
  third->leaves.request_stop();
  const std::uint64_t before = telemetry_.counter("http.responses_4xx").value();
  readers_go_on_.count_down();
  for (const auto& client : read_) EXPECT_EQ(client->wait().status, 200u);
  EXPECT_EQ(third->wait().status, 499u);
  EXPECT_FALSE(was_read);
  EXPECT_EQ(telemetry_.counter("http.responses_4xx").value(), before + 1);
}

// Whatever it is that throws, as where memory is short, and on whose thread.
TEST_F(ServiceTest, WhatThrowsEndsItsRequestAlone) {
  const auto fails = [] { throw std::bad_alloc(); };
  const auto unread = ask("/tokenize", R"({"content": "Once"})", fails)->wait();
  EXPECT_EQ(unread.status, 500u);
  EXPECT_NE(unread.body.find("out_of_memory"), std::string::npos) << unread.body;
  auto client = std::make_shared<Asked>("/v1/completions", R"({"prompt": "Once"})");
  client->on_room = [times = 0]() mutable {  // with the first token, on the engine's thread
    if (++times == 2) throw std::bad_alloc();
  };
  service_->handle(client);
  EXPECT_EQ(client->wait().status, 500u);
  EXPECT_EQ(ask("/v1/completions", R"({"prompt": "Once"})")->wait().status, 200u);
}

TEST_F(ServiceTest, WhatThrowsEndsItsStreamWithAnError) {
  auto client = std::make_shared<Asked>("/v1/completions", R"({"prompt": "Once", "stream": true})");
  client->on_write = [times = 0]() mutable {
    if (++times == 2) throw std::bad_alloc();
  };
  service_->handle(client);
  EXPECT_NE(client->wait_for_end().find("out_of_memory"), std::string::npos);
}

// Not even the error can be sent: the client is told by its exchange, when that is dropped.
TEST_F(ServiceTest, WhatThrowsAgainIsDropped) {
  auto client = std::make_shared<Asked>("/v1/completions", R"({"prompt": "Once"})");
  client->on_room = [] { throw std::bad_alloc(); };
  service_->handle(client);
  const auto until = in_two_minutes();
  while (client.use_count() > 1 && engine::Clock::now() < until) std::this_thread::yield();
  ASSERT_EQ(client.use_count(), 1);
  EXPECT_EQ(client->status(), 0u);
  EXPECT_EQ(ask("/v1/completions", R"({"prompt": "Once"})")->wait().status, 200u);
}

TEST_F(ServiceTest, ARequestGoesByTheRulesThatItCameUnder) {
  const auto rules = [](std::uint32_t most) {
    ServicePolicy policy;
    policy.most_tokens = most;
    return policy;
  };
  service_->set_policy(rules(8));
  const std::string eight = R"({"prompt": "Once", "max_tokens": 8})";
  const auto before = ask("/v1/completions", eight, [&] { service_->set_policy(rules(2)); });
  EXPECT_EQ(before->wait().status, 200u);
  EXPECT_EQ(ask("/v1/completions", eight)->wait().status, 400u);
}

TEST_F(ServiceTest, VectorsThatAreThereAtItsEndAreSent) {
  hold();
  const auto client = ask("/v1/embeddings", R"({"input": ["Once", "The king"]})");
  const auto until = in_two_minutes();
  while (engine_->state().waiting < 2 && engine::Clock::now() < until) std::this_thread::yield();
  service_->close();
  go_on();
  EXPECT_TRUE(engine_->wait_idle(engine::Clock::now() + std::chrono::minutes(2)));
  engine_->stop();
  EXPECT_EQ(client->status(), 200u);
}

// A log with content keeps each body until the answer ends, beyond what --max-bodies would allow.
TEST_F(ServiceTest, ABodyForTheLogKeepsItsShareOfAllBodies) {
  for (const bool logs : {false, true}) {
    ServicePolicy policy;
    policy.log_content = logs;
    service_->set_policy(policy);
    const auto client = ask("/tokenize", R"({"content": "Once"})");
    EXPECT_EQ(client->wait().status, 200u);
    EXPECT_EQ(client->kept_share, logs);
  }
}

TEST_F(ServiceTest, AReplyForWhichThereIsNoRoomIsAnError) {
  const std::string body = R"({"content": "Once upon a time", "with_pieces": true})";
  const auto whole = ask("/tokenize", body)->wait();
  EXPECT_EQ(whole.status, 200u);
  auto client = std::make_shared<Asked>("/tokenize", body);
  client->room = whole.body.size() - 1;
  service_->handle(client);
  const auto refused = client->wait();
  EXPECT_EQ(refused.status, 503u);
  EXPECT_NE(refused.body.find(std::to_string(whole.body.size()) + " bytes"), std::string::npos);
  EXPECT_EQ(client->rooms(), (std::vector{whole.body.size(), refused.body.size()}));
}

// 20 others of each of 400 tokens make more than 200 kB.
constexpr const char* kLong =
    R"({"prompt": "Once", "max_tokens": 400, "logprobs": 20, "ignore_eos": true, "seed": 1})";

TEST_F(ServiceTest, AnAnswerKeepsRoomAsItGrows) {
  const auto client = ask("/v1/completions", kLong);
  const auto whole = client->wait();
  EXPECT_EQ(whole.status, 200u);
  const std::vector<std::size_t> rooms = client->rooms();
  ASSERT_EQ(rooms.size(), 402u);  // before the first token, behind each, and of the reply
  EXPECT_TRUE(std::is_sorted(rooms.begin(), rooms.end()));
  EXPECT_GT(rooms[1], 400u);
  EXPECT_GT(rooms[400], 200'000u);
  EXPECT_EQ(rooms[401], whole.body.size());
  EXPECT_LT(rooms[401] - rooms[400], 1000u);
}

// It ends then: nobody computes what cannot be sent.
TEST_F(ServiceTest, AnAnswerThatOutgrowsItsRoomEndsThere) {
  struct Case {
    std::size_t room;
    std::size_t most_room;
    unsigned status;
    const char* code;
  };
  for (const auto& c : {Case{50'000, SIZE_MAX, 503, "overloaded"},
                        Case{SIZE_MAX, 50'000, 400, "reply_too_large"}}) {
    const std::uint64_t steps = engine_->state().steps;
    auto client = std::make_shared<Asked>("/v1/completions", kLong);
    client->room = c.room;
    client->most_room = c.most_room;
    service_->handle(client);
    const auto refused = client->wait();
    EXPECT_EQ(refused.status, c.status);
    EXPECT_NE(refused.body.find(c.code), std::string::npos) << refused.body;
    EXPECT_EQ(net::find_header(refused.headers, "Retry-After"), c.status == 503 ? "1" : "");
    ASSERT_TRUE(engine_->wait_idle(engine::Clock::now() + std::chrono::minutes(2)));
    EXPECT_LT(engine_->state().steps - steps, 100u);
  }
}

// Of requests-per-minute, where nothing was computed of it; what the client got wrong costs it.
TEST_F(ServiceTest, WhoIsToComeAgainKeepsNoPlace) {
  const std::string key = make_api_key();
  ServicePolicy policy;
  policy.keys = {{.name = "alice", .sha256 = sha256_of(key), .requests_per_minute = 5}};
  service_->set_policy(policy);
  const auto left = [&](const std::string& body, unsigned status, std::size_t room = SIZE_MAX) {
    auto client = std::make_shared<Asked>("/v1/completions", body);
    client->add_header("Authorization", "Bearer " + key);
    client->room = room;
    service_->handle(client);
    const auto reply = client->wait();
    EXPECT_EQ(reply.status, status) << reply.body;
    return std::string(net::find_header(reply.headers, "x-ratelimit-remaining-requests"));
  };
  const std::string good = R"({"prompt": "Once", "max_tokens": 2})";
  const std::string echo = R"({"prompt": "Once", "echo": true, "n": 8})";
  hold();
  while (takes_another()) continue;
  EXPECT_EQ(left(good, 429), "5");     // a full queue
  EXPECT_EQ(left(echo, 503, 9), "5");  // no room for its reply
  EXPECT_EQ(left("{}", 400), "4");
  go_on();
  ASSERT_TRUE(engine_->wait_idle(engine::Clock::now() + std::chrono::minutes(2)));
  service_->close();
  EXPECT_GE(left(good, 503), "4");
}

TEST_F(ServiceTest, APromptToBeEchoedManyTimesNeedsRoomBefore) {
  auto client = std::make_shared<Asked>(
      "/v1/completions", R"({"prompt": ")" + std::string(200, 'a') + R"(", "echo": true, "n": 8})");
  client->room = 1599;
  service_->handle(client);
  EXPECT_EQ(client->wait().status, 503u);
  EXPECT_EQ(engine_->state().steps, 0u);
}

}  // namespace
}  // namespace tern::serve
