// Requests for vectors and the engine's queue: what they take of it, and what they pay.
#include "serve/embedding.h"

#include <gtest/gtest.h>

#include "serve/asked.h"
#include "serve/served_engine.h"

namespace tern::serve {
namespace {

class EmbeddingTest : public ServedEngineTest {
 protected:
  // Of so many texts of one token.
  std::shared_ptr<Asked> ask(std::size_t texts, std::shared_ptr<Account> account = nullptr) {
    auto client = std::make_shared<Asked>("/v1/embeddings", "");
    auto call = std::make_shared<Call>(client, telemetry_);
    call->belongs_to(std::move(account));
    EmbeddingRequest request;
    request.inputs.assign(texts, {5});
    request.dimensions = model_->config().hidden;
    std::make_shared<Embedding>(std::move(call), *served_, *engine_, std::move(request),
                                [](const std::function<void()>& work) { work(); })
        ->start();
    return client;
  }
};

TEST_F(EmbeddingTest, WhatIsRefusedCostsNothing) {
  start(1, 1);
  hold();
  const auto account = std::make_shared<Account>(ApiKey{.name = "alice", .sha256 = ""});
  const auto taken = ask(1, account);
  EXPECT_EQ(account->used().prompt_tokens, 1u);
  const auto refused = ask(20, account);
  EXPECT_EQ(refused->status(), 429u);
  EXPECT_EQ(account->used().prompt_tokens, 1u);
  go_on();
  EXPECT_EQ(taken->wait().status, 200u);
}

}  // namespace
}  // namespace tern::serve
