// What an answer's prompt costs its key, and the place that its choices have in the queue.
#include "serve/completion.h"

#include <gtest/gtest.h>

#include <thread>

#include "serve/asked.h"
#include "serve/served_engine.h"

namespace tern::serve {
namespace {

class CompletionTest : public ServedEngineTest {
 protected:
  // Choices for one prompt of so many tokens, which are computed in steps of up to 8.
  std::shared_ptr<Asked> ask(std::shared_ptr<Account> account,
                             std::optional<std::chrono::milliseconds> deadline,
                             std::uint32_t choices = 2, std::size_t tokens = 60) {
    auto client = std::make_shared<Asked>("/v1/completions", "");
    auto call = std::make_shared<Call>(client, telemetry_);
    call->belongs_to(std::move(account));
    CompletionRequest request;
    request.prompts.assign(1, std::vector<text::TokenId>(tokens, 5));
    request.echoes = {""};
    request.answer.max_tokens = 2;
    request.answer.ignore_end = true;
    request.choices = choices;
    request.names_length = true;
    request.deadline = deadline;
    std::make_shared<Completion>(std::move(call), *served_, *engine_, latency_, std::move(request),
                                 std::nullopt)
        ->start();
    return client;
  }

  Latency latency_{telemetry_.histogram("first", {}), telemetry_.histogram("between", {})};
  std::shared_ptr<Account> account_ =
      std::make_shared<Account>(ApiKey{.name = "alice", .sha256 = "", .tokens_per_minute = 100});
};

TEST_F(CompletionTest, APromptIsPaidOnceForAllOfItsChoices) {
  start(3, 8);
  EXPECT_EQ(ask(account_, {})->wait().status, 200u);
  EXPECT_EQ(account_->used().prompt_tokens, 60u);
  EXPECT_EQ(account_->used().generated_tokens, 4u);
}

TEST_F(CompletionTest, APromptThatIsCutShortCostsWhatWasComputed) {
  start(3, 8);
  hold_twice(4);
  const auto client = ask(account_, kMostTime);
  go_on();
  const auto reply = client->wait();
  EXPECT_NE(reply.body.find("\"finish_reason\":\"length\",\"end_reason\":\"deadline\""),
            std::string::npos)
      << reply.body;
  const std::uint64_t used = account_->used().prompt_tokens;
  EXPECT_GE(used, 1u);
  EXPECT_LE(used, 3u * 8);
  EXPECT_EQ(account_->used().generated_tokens, 0u);
}

TEST_F(CompletionTest, APromptThatWasNotComputedCostsNothing) {
  start(1, 8);
  hold();
  const auto client = ask(account_, std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  go_on();
  client->wait();
  EXPECT_EQ(account_->used().prompt_tokens, 0u);
}

// One of its two choices could wait.
TEST_F(CompletionTest, WhatDoesNotFitKeepsNobodyOut) {
  start(1, 1);
  hold();
  EXPECT_EQ(ask(account_, {})->status(), 429u);
  EXPECT_TRUE(takes_another());
  go_on();
  ASSERT_TRUE(engine_->wait_idle(engine::Clock::now() + std::chrono::minutes(2)));
  EXPECT_EQ(telemetry_.counters().at("scheduler.finished"), 2u);
}

// Who asks for much does not keep others waiting until all of it is there.
TEST_F(CompletionTest, KeysTakeTurns) {
  start(1, 8);
  hold();
  const auto first = ask(account_, {});
  const auto second = ask(std::make_shared<Account>(ApiKey{.name = "bob", .sha256 = ""}), {}, 1);
  std::uint64_t before = 0;
  second->on_reply = [&] { before = account_->used().generated_tokens; };
  go_on();
  EXPECT_EQ(second->wait().status, 200u);
  EXPECT_EQ(first->wait().status, 200u);
  EXPECT_EQ(before, 2u);  // of alice's first choice
}

TEST_F(CompletionTest, WhatTheEngineRefusesNamesThePrompt) {
  start(3, 8);
  const auto reply = ask(nullptr, {}, 2, 2000)->wait();
  EXPECT_EQ(reply.status, 400u);
  EXPECT_NE(reply.body.find("\"param\":\"prompt\""), std::string::npos) << reply.body;
}

TEST(TextOffset, IsThatInTheTextOfAStreamDecoder) {
  const auto offsets = [](std::initializer_list<const char*> tokens) {
    TextOffset offset;
    std::vector<std::size_t> found;
    for (const char* bytes : tokens) found.push_back(offset.next(bytes));
    offset.end();
    found.push_back(offset.next(""));
    return found;
  };
  using Offsets = std::vector<std::size_t>;
  EXPECT_EQ(offsets({" symp", "li", "br", "\x96", " arg"}), (Offsets{0, 5, 7, 9, 10, 14}));
  EXPECT_EQ(offsets({"a", "\xC3", "\xB6", "b"}), (Offsets{0, 1, 1, 2, 3}));  // of one character
  EXPECT_EQ(offsets({"\xE2\x82", "b", "\xFF\xFF", "c"}), (Offsets{0, 1, 2, 4, 5}));  // cut
  EXPECT_EQ(offsets({"a\xC3", "\xC3", "", "\xB6"}), (Offsets{0, 2, 2, 2, 3}));
  EXPECT_EQ(offsets({"ab", "\xF0\x9F"}), (Offsets{0, 2, 3}));  // at the end
}

}  // namespace
}  // namespace tern::serve
