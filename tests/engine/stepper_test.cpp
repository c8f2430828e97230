#include "engine/stepper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "engine/sequence.h"
#include "kernels/registry.h"
#include "support/resident.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::engine {
namespace {

using ::testing::HasSubstr;
using text::TokenId;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class StepperTest : public ::testing::Test {
 protected:
  void SetUp() override { load(); }
  void load() {
    tiny_.context = 100;
    model_.emplace(must(model::Model::load(
        must(format::GgufFile::open(write_tiny_model(directory_.path(), tiny_))), backend_)));
  }
  std::unique_ptr<Stepper> stepper(std::uint32_t rows, std::uint32_t pages) {
    return must(Stepper::create(*model_, {.rows = rows, .pages = pages}));
  }
  // The logits after the last of the tokens, computed alone.
  std::vector<float> alone(std::span<const TokenId> tokens) {
    auto sequence = must(Sequence::create(*model_));
    must(sequence.append(tokens));
    return {sequence.logits().begin(), sequence.logits().end()};
  }
  // As many tokens, other ones for another `which`.
  std::vector<TokenId> tokens_of(std::size_t count, TokenId which) {
    auto tokens = test::tiny_tokens(tiny_, count);
    for (TokenId& token : tokens) token = (token + which) % static_cast<TokenId>(tiny_.vocab);
    return tokens;
  }

  test::TinyModel tiny_;
  test::TemporaryDirectory directory_;
  backend::CpuBackend backend_{kernels::scalar_table(), 2};
  std::optional<model::Model> model_;
};

std::vector<float> logits_of(const Sequence& sequence) {
  return {sequence.logits().begin(), sequence.logits().end()};
}

// A prompt in chunks beside a sequence that decodes, and one that joins them later.
TEST_F(StepperTest, SequencesThatShareStepsComputeWhatEachDoesAlone) {
  const auto shared = stepper(12, 9);
  auto prompt = must(Sequence::create(*shared));
  auto decoded = must(Sequence::create(*shared));
  auto late = must(Sequence::create(*shared));
  const auto a = tokens_of(70, 0);
  const auto b = tokens_of(40, 1);
  const auto c = tokens_of(40, 2);
  must(decoded.append(std::span(b).first(33)));
  for (std::size_t step = 0; step < 7; ++step) {
    std::vector<Advance> work{{&decoded, std::span(b).subspan(33 + step, 1)},
                              {&prompt, std::span(a).subspan(step * 10, 10)}};
    if (step >= 4) work.push_back({&late, std::span(c).subspan(step - 4, 1)});
    must(shared->step(work));
  }
  EXPECT_EQ(prompt.tokens().size(), 70u);
  EXPECT_EQ(logits_of(prompt), alone(a));
  EXPECT_EQ(logits_of(decoded), alone(std::span(b).first(40)));
  EXPECT_EQ(logits_of(late), alone(std::span(c).first(3)));
  EXPECT_EQ(shared->pool().free_pages(), 9u - 3 - 2 - 1);
}

TEST_F(StepperTest, EachSequenceGetsTheLogitsThatItAskedFor) {
  const auto shared = stepper(20, 6);
  auto every = must(Sequence::create(*shared));
  auto none = must(Sequence::create(*shared));
  auto top = must(Sequence::create(*shared));
  const auto tokens = tokens_of(5, 3);
  Advance work[] = {
      {&every, tokens, Advance::Logits::kEvery},
      {&none, tokens, Advance::Logits::kNone},
      {&top, tokens, Advance::Logits::kNone, TopLogits{.count = 2, .tokens = tiny_.vocab}}};
  must(shared->step(work));
  ASSERT_EQ(every.every_logit().size(), 5u * tiny_.vocab);
  for (std::size_t i = 0; i < 5; ++i) {
    const auto row = every.every_logit().subspan(i * tiny_.vocab, tiny_.vocab);
    EXPECT_EQ(std::vector<float>(row.begin(), row.end()), alone(std::span(tokens).first(i + 1)));
  }
  const auto last = every.logits();
  EXPECT_EQ(std::vector<float>(last.begin(), last.end()), alone(tokens));
  every.keep_last_logits();
  EXPECT_EQ(every.every_logit().size(), tiny_.vocab);
  EXPECT_EQ(std::vector<float>(every.logits().begin(), every.logits().end()), alone(tokens));
  EXPECT_TRUE(none.logits().empty());
  EXPECT_TRUE(top.logits().empty());
  const auto whole = alone(tokens);
  ASSERT_GE(top.candidates().size(), 2u);
  for (const auto& [token, logit] : top.candidates()) {
    EXPECT_EQ(logit, whole[static_cast<std::size_t>(token)]);
  }
}

// A token whose embedding is no number stops its own sequence alone, and its pages serve others.
TEST_F(StepperTest, ASequenceThatFailsHarmsNoOther) {
  constexpr TokenId kBad = 7;
  tiny_.tied = false;
  tiny_.tamper = [this](const std::string& name, std::vector<std::byte>& bytes) {
    if (name == "token_embd.weight") {
      std::memset(&bytes[kBad * tiny_.hidden * 2], 0xff, tiny_.hidden * 2);
    }
    return true;
  };
  load();
  const auto shared = stepper(16, 3);
  auto good = must(Sequence::create(*shared));
  std::vector<TokenId> tokens{1, 2, 3, 4, 5};
  {
    auto bad = must(Sequence::create(*shared));
    const std::vector<TokenId> broken{1, 2, kBad, 4, kBad};
    Advance work[] = {{&bad, broken}, {&good, tokens}};
    must(shared->step(work));
    ASSERT_TRUE(work[0].failed);
    EXPECT_EQ(work[0].failed->code, ErrorCode::kNumeric);
    EXPECT_THAT(work[0].failed->to_string(), HasSubstr("layer 0, position 2"));
    EXPECT_FALSE(work[1].failed);
    EXPECT_EQ(logits_of(good), alone(tokens));
    const auto outcome = bad.append(tokens);
    ASSERT_FALSE(outcome.ok());
    EXPECT_THAT(outcome.error().to_string(), HasSubstr("a sequence that has not failed"));
    Advance& again = work[1];
    again.failed = work[0].failed;  // of another step
    again.tokens = std::span(tokens).first(1);
    must(shared->step({&again, 1}));
    EXPECT_FALSE(again.failed);
    tokens.push_back(tokens[0]);
  }
  auto next = must(Sequence::create(*shared));  // on the page of the one that failed
  must(next.append(tokens));
  EXPECT_EQ(logits_of(next), alone(tokens));
}

TEST_F(StepperTest, AStepThatCannotBeTakenChangesNoSequence) {
  const auto shared = stepper(40, 2);
  auto first = must(Sequence::create(*shared));
  auto second = must(Sequence::create(*shared));
  const auto tokens = tokens_of(40, 0);
  must(first.append(std::span(tokens).first(30)));
  const auto refused = [&](std::span<const TokenId> a, std::span<const TokenId> b, ErrorCode code,
                           const char* message) {
    Advance work[] = {{&first, a}, {&second, b}};
    const auto outcome = shared->step(work);
    ASSERT_FALSE(outcome.ok()) << message;
    EXPECT_EQ(outcome.error().code, code) << message;
    EXPECT_THAT(outcome.error().to_string(), HasSubstr(message));
    EXPECT_EQ(first.tokens().size(), 30u);
    EXPECT_TRUE(second.tokens().empty());
    EXPECT_EQ(shared->pool().free_pages(), 1u);
  };
  const std::span<const TokenId> all(tokens);
  refused(all.first(3), all.first(1), ErrorCode::kOutOfMemory,
          "expected 2 free pages of 32 tokens, found 1 of 2");
  refused(all.first(20), all.first(21), ErrorCode::kUsage, "expected 1 to 40 tokens, found 41");
  refused(all.first(1), all.first(0), ErrorCode::kUsage, "at least one token of each sequence");
  const std::vector<TokenId> unknown{static_cast<TokenId>(tiny_.vocab)};
  refused(all.first(1), unknown, ErrorCode::kUsage, "expected 0 to 95, found 96");
  must(first.append(all.first(1)));
  const std::vector<float> before = logits_of(first);
  const auto refused_top = [&](const TopLogits& top, const char* message) {
    Advance work[] = {{&first, all.first(1)}, {&second, all.first(1), Advance::Logits::kNone, top}};
    const auto outcome = shared->step(work);
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
    EXPECT_THAT(outcome.error().to_string(), HasSubstr(message));
    EXPECT_EQ(logits_of(first), before);
    EXPECT_EQ(shared->pool().free_pages(), 1u);
  };
  refused_top({.count = 0, .tokens = 1}, "1 to 256 largest logits");
  refused_top({.count = 257, .tokens = 1}, "1 to 256 largest logits");
  refused_top({.count = 1, .tokens = tiny_.vocab + 1}, "at most the vocabulary's tokens");
  const std::vector<TokenId> falling{2, 1};
  refused_top({.count = 1, .tokens = 1, .always = falling}, "ascending tokens");
  refused_top({.tokens = 1, .draw = {{.temperature = 0.0099f}}}, "a temperature from 0.01 to 100");
  Advance twice[] = {{&second, all.first(1)}, {&second, all.first(1)}};
  EXPECT_THAT(shared->step(twice).error().to_string(), HasSubstr("found one twice"));
  const auto other = stepper(4, 4);
  Advance foreign{&second, all.first(1)};
  EXPECT_THAT(other->step({&foreign, 1}).error().to_string(), HasSubstr("found one of another"));
  EXPECT_THAT(shared->step({}).error().to_string(), HasSubstr("expected 1 to 40 tokens, found 0"));
}

TEST_F(StepperTest, ASequenceGivesItsPagesBack) {
  const auto shared = stepper(64, 4);
  for (int time = 0; time < 5; ++time) {
    auto sequence = must(Sequence::create(*shared));
    must(sequence.append(tokens_of(100, 1)));
    EXPECT_EQ(shared->pool().free_pages(), 0u);
    EXPECT_EQ(logits_of(sequence), alone(tokens_of(100, 1))) << time;
  }
  EXPECT_EQ(shared->pool().free_pages(), 4u);
}

// A page can have 2 MiB, and the tokens of a prompt are spread over all of them.
TEST_F(StepperTest, RowsOfTheEmbeddingBringNoPagesOfTheFileIntoMemory) {
  tiny_.vocab = 512;
  tiny_.tied = false;
  load();
  const auto shared = stepper(4, 1);
  auto sequence = must(Sequence::create(*shared));
  const auto embedding = model_->file().tensor("token_embd.weight")->data;
  model_->file().release(embedding);  // pages that came in beside what loading read
  const std::vector<TokenId> token{300};
  Advance work{&sequence, token, Advance::Logits::kLast};  // which release nothing
  must(shared->step({&work, 1}));
  EXPECT_EQ(test::resident_bytes(embedding), 0u);
}

// What a sequence holds of all logits, with a sampler that sorts them, and the hidden states.
TEST_F(StepperTest, AllThatAStepWritesIsAskedForBefore) {
  StepperOptions options{.rows = 10, .pages = 4, .sequences = 3};
  const auto& c = model_->config();
  const std::uint64_t needed = backend_.pool_bytes(model_->plan(), options.kv_type, options.pages) +
                               backend_.workspace_bytes(model_->plan(), options.rows) +
                               3 * 24 * std::uint64_t{c.vocab} + 10 * 4 * std::uint64_t{c.hidden};
  options.available_memory = needed;
  EXPECT_TRUE(Stepper::create(*model_, options).ok());
  options.available_memory = needed - 1;
  EXPECT_FALSE(Stepper::create(*model_, options).ok());
}

TEST_F(StepperTest, OptionsOutOfRangeAreRefused) {
  EXPECT_EQ(Stepper::create(*model_, {.rows = 0}).error().code, ErrorCode::kUsage);
  const auto poor = Stepper::create(*model_, {.pages = 4, .available_memory = 1000});
  ASSERT_FALSE(poor.ok());
  EXPECT_EQ(poor.error().code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(poor.error().to_string(), HasSubstr("KV cache of 128 tokens"));
  const auto shared = stepper(1, 1);
  EXPECT_EQ(Sequence::create(*shared, 101).error().code, ErrorCode::kUsage);
  EXPECT_TRUE(Sequence::create(*shared, 100).ok());
}

}  // namespace
}  // namespace tern::engine
