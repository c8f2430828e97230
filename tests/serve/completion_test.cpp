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
  // Two choices for one prompt of 60 tokens, which are computed in steps of up to 8.
  std::shared_ptr<Asked> ask(std::shared_ptr<Account> account,
                             std::optional<std::chrono::milliseconds> deadline) {
    auto client = std::make_shared<Asked>("/v1/completions", "");
    auto call = std::make_shared<Call>(client, telemetry_);
    call->belongs_to(std::move(account));
    CompletionRequest request;
    request.prompts.assign(1, std::vector<text::TokenId>(60, 5));
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
  EXPECT_NE(reply.body.find("\"finish_reason\":\"deadline\""), std::string::npos) << reply.body;
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

}  // namespace
}  // namespace tern::serve
