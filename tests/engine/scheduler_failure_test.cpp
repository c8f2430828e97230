// Requests that fail beside one that does not: each ends alone.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "engine/heard.h"
#include "engine/scheduler.h"
#include "kernels/registry.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::engine {
namespace {

using text::TokenId;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

// The embedding of kBad is no number.
constexpr TokenId kBad = 7;

class SchedulerFailureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::TinyModel tiny;
    tiny.tied = false;
    tiny.tamper = [&](const std::string& name, std::vector<std::byte>& bytes) {
      if (name == "token_embd.weight") {
        std::memset(&bytes[kBad * tiny.hidden * 2], 0xff, tiny.hidden * 2);
      }
      return true;
    };
    model_.emplace(must(model::Model::load(
        must(format::GgufFile::open(write_tiny_model(directory_.path(), tiny))), backend_)));
    tokenizer_.emplace(must(text::Tokenizer::from_gguf(
        must(format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf")))));
  }
  static Request request(TokenId third) {
    Request r;
    r.prompt = {1, 2, third, 4};
    r.answer.max_tokens = 2;
    r.answer.ignore_end = true;
    return r;
  }
  // Runs a request beside one that is sound: how it failed.
  Error failure_of(Request bad) {
    const auto s = must(Scheduler::create(
        *model_, *tokenizer_, {.rows = 16, .beside = 8, .sequences = 4, .pages = 20}, telemetry_));
    Heard failing;
    Heard sound;
    Request good = request(3);
    bad.on_update = [&](const Update& update) {
      EXPECT_TRUE(update.prompt_logprobs.empty());
      if (std::exchange(throws_, false)) throw std::bad_alloc();
      failing.hear(update);
    };
    good.on_update = [&](const Update& update) { sound.hear(update); };
    for (Request* r : {&bad, &good}) s->add(must(s->prepare(std::move(*r))));
    for (int step = 0; step < 20 && !s->idle(); ++step) s->step();
    EXPECT_EQ(failing.after_the_end, 0);
    EXPECT_FALSE(sound.failed);
    EXPECT_EQ(sound.tokens.size(), 2u);
    EXPECT_EQ(s->pool().free_pages(), 20u);
    return failing.failed.value_or(Error{ErrorCode::kUsage, "did not fail", ""});
  }

  bool throws_ = false;  // who hears of the bad one, once
  test::TemporaryDirectory directory_;
  backend::CpuBackend backend_{kernels::scalar_table(), 1};
  telemetry::Telemetry telemetry_;
  std::optional<model::Model> model_;
  std::optional<text::Tokenizer> tokenizer_;
};

TEST_F(SchedulerFailureTest, ATokenThatIsNoNumber) {
  EXPECT_EQ(failure_of(request(kBad)).code, ErrorCode::kNumeric);
}

// Wherever it is wanted behind the step: here by whose answer it is.
TEST_F(SchedulerFailureTest, AWantOfMemory) {
  Request bad = request(3);
  throws_ = true;
  EXPECT_EQ(failure_of(std::move(bad)).code, ErrorCode::kOutOfMemory);
}

TEST_F(SchedulerFailureTest, NoProbabilityOfATokenThatIsNoNumber) {
  Request bad = request(kBad);
  bad.prompt_logprobs = 1;
  EXPECT_EQ(failure_of(std::move(bad)).code, ErrorCode::kNumeric);
}

// All is computed, but none of the tokens may be taken.
TEST_F(SchedulerFailureTest, EveryTokenIsMasked) {
  Request bad = request(5);
  for (std::uint32_t token = 0; token < model_->config().vocab; ++token) {
    bad.answer.sampling.bias.push_back(
        {static_cast<TokenId>(token), -std::numeric_limits<float>::infinity()});
  }
  const Error error = failure_of(std::move(bad));
  EXPECT_EQ(error.code, ErrorCode::kNumeric);
  EXPECT_EQ(error.message, "no logit is finite");
}

}  // namespace
}  // namespace tern::engine
