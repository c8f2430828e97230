// What a deadline leaves of a stream.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <thread>
#include <vector>

#include "serve/asked.h"
#include "serve/served_engine.h"
#include "serve/service.h"

namespace tern::serve {
namespace {

namespace json = boost::json;

struct Event {
  std::string id;
  json::object choice;

  std::string text() const { return std::string(choice.at("text").as_string()); }
  bool ends() const { return !choice.at("finish_reason").is_null(); }
};

std::vector<Event> read_events(const std::string& stream) {
  std::vector<Event> events;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t end = stream.find("\n\n", at);
    const std::string block = stream.substr(at, end - at);
    at = end + 2;
    const std::size_t data = block.find("\ndata: ");
    if (block.ends_with("[DONE]")) continue;
    const auto body = json::parse(block.substr(data + 7));
    events.push_back({block.substr(4, data - 4), body.at("choices").at(0).as_object()});
  }
  return events;
}

std::string text_of(const std::vector<Event>& events) {
  std::string text;
  for (const Event& event : events) text += event.text();
  return text;
}

class StreamsTest : public ServedEngineTest {
 protected:
  void SetUp() override {
    ServedEngineTest::SetUp();
    start(2, 8);
    service_ = std::make_unique<Service>(*served_, *engine_, telemetry_, ServiceOptions());
  }
  std::string whole_text(const json::object& body) {
    auto client = std::make_shared<Asked>("/v1/completions", json::serialize(body));
    service_->handle(client);
    const auto reply = json::parse(client->wait().body);
    return std::string(reply.at("choices").at(0).at("text").as_string());
  }
  // Its deadline is over behind `tokens` tokens, at the latest.
  std::vector<Event> late_events(json::object body, int tokens, const std::string& last_id = "") {
    body["stream"] = true;
    body["deadline_ms"] = 1000;
    auto client = std::make_shared<Asked>("/v1/completions", json::serialize(body), last_id);
    const auto late = std::chrono::steady_clock::now() + std::chrono::milliseconds(1100);
    client->on_write = [late, left = tokens + 1]() mutable {  // the first has no token
      if (--left == 0) std::this_thread::sleep_until(late);
    };
    service_->handle(client);
    return read_events(client->wait_for_end());
  }

  std::unique_ptr<Service> service_;
};

// Each token has an event, by its log-probability; its text could become the stop string.
TEST_F(StreamsTest, ADeadlineGivesTheTextThatWasHeldBack) {
  json::object body{{"prompt", "Once upon a time"},
                    {"max_tokens", 100},
                    {"seed", 1},
                    {"ignore_eos", true},
                    {"logprobs", 0}};
  const std::string whole = whole_text(body);
  body["stop"] = whole.substr(0, 60) + "\x01";
  const auto events = late_events(body, 5);
  ASSERT_GE(events.size(), 3u);
  ASSERT_LE(events.size(), 7u);
  const Event& last = events.back();
  EXPECT_EQ(last.choice.at("end_reason").as_string(), "deadline");
  for (const Event& event : events) EXPECT_EQ(event.text().empty(), &event != &last);
  body["max_tokens"] = events.size() - 2;  // but for the first and the last
  body.erase("stop");
  EXPECT_EQ(last.text(), whole_text(body));

  // It is no part of what the event's id counts: it comes again with what follows.
  EXPECT_EQ(last.id, events[events.size() - 2].id);
  body["max_tokens"] = 100;
  body["stream"] = true;
  body["stop"] = whole.substr(0, 60) + "\x01";
  auto client = std::make_shared<Asked>("/v1/completions", json::serialize(body), last.id);
  service_->handle(client);
  const auto rest = read_events(client->wait_for_end());
  EXPECT_EQ(text_of(rest), whole);
  EXPECT_EQ(rest.size(), 100u - (events.size() - 2) + 1);
}

// The client has seen more than is computed when the deadline comes again: nothing of it is sent
// once more, and its place is not lost.
TEST_F(StreamsTest, ADeadlineBeforeWhatWasSeenSendsNothingAgain) {
  json::object body{{"prompt", "Once upon a time"},
                    {"max_tokens", 30},
                    {"seed", 1},
                    {"ignore_eos", true},
                    {"logprobs", 0}};
  body["stop"] = whole_text(body) + "\x01";
  body["stream"] = true;
  auto client = std::make_shared<Asked>("/v1/completions", json::serialize(body));
  service_->handle(client);
  const auto events = read_events(client->wait_for_end());
  ASSERT_EQ(events.size(), 32u);
  body["deadline_ms"] = kMostTime.count();
  client = std::make_shared<Asked>("/v1/completions", json::serialize(body), events[20].id);
  hold_twice(6);
  service_->handle(client);
  while (engine_->state().waiting < 1) std::this_thread::yield();
  go_on();
  const auto late = read_events(client->wait_for_end());
  ASSERT_TRUE(engine_->wait_idle(engine::Clock::now() + std::chrono::minutes(2)));
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(late[0].choice.at("end_reason").as_string(), "deadline");
  EXPECT_EQ(late[0].text(), "");
  EXPECT_EQ(late[0].id, events[20].id);
}

}  // namespace
}  // namespace tern::serve
