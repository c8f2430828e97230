// What an answer's prompt costs its key.
#include "serve/completion.h"

#include <gtest/gtest.h>

#include <thread>

#include "serve/asked.h"
#include "serve/served_engine.h"

namespace tern::serve {
namespace {

class CompletionTest : public ServedEngineTest {
 protected:
  // Two choices for one prompt of so many tokens, which are computed in steps of up to 8.
  std::shared_ptr<Asked> ask(std::shared_ptr<Account> account,
                             std::optional<std::chrono::milliseconds> deadline,
                             std::size_t tokens = 60) {
    auto client = std::make_shared<Asked>("/v1/completions", "");
    auto call = std::make_shared<Call>(client, telemetry_);
    call->belongs_to(std::move(account));
    CompletionRequest request;
    request.prompts.assign(1, std::vector<text::TokenId>(tokens, 5));
    request.echoes = {""};
    request.answer.max_tokens = 2;
    request.answer.ignore_end = true;
    request.choices = 2;
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

TEST_F(CompletionTest, WhatTheEngineRefusesNamesThePrompt) {
  start(3, 8);
  const auto reply = ask(nullptr, {}, 2000)->wait();
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
