#include "engine/sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "kernels/registry.h"
#include "support/resident.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SequenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tiny_.context = 64;
    auto file = format::GgufFile::open(write_tiny_model(directory_.path(), tiny_));
    ASSERT_TRUE(file.ok());
    auto model = model::Model::load(std::move(*file), backend_);
    ASSERT_TRUE(model.ok()) << model.error().to_string();
    model_.emplace(std::move(*model));
  }
  Sequence sequence(const SequenceOptions& options = {}) {
    auto made = Sequence::create(*model_, options);
    if (!made) throw std::runtime_error(made.error().to_string());
    return std::move(*made);
  }

  test::TinyModel tiny_;
  test::TemporaryDirectory directory_;
  backend::CpuBackend backend_{kernels::scalar_table(), 1};
  std::optional<model::Model> model_;
};

TEST_F(SequenceTest, ReportsProgressChunkByChunk) {
  auto s = sequence({.prefill_chunk = 4});
  std::vector<std::size_t> steps;
  const auto tokens = test::tiny_tokens(tiny_, 10);
  const auto done = s.append(tokens, {.progress = [&](std::size_t n, std::size_t total) {
                               EXPECT_EQ(total, 10u);
                               steps.push_back(n);
                             }});
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(*done, 10u);
  EXPECT_THAT(steps, ElementsAre(4, 8, 10));
  EXPECT_EQ(s.tokens().size(), 10u);
  EXPECT_EQ(s.room(), 54u);
  EXPECT_EQ(s.logits().size(), tiny_.vocab);
}

TEST_F(SequenceTest, StopsBetweenChunks) {
  auto s = sequence({.prefill_chunk = 4});
  std::stop_source stop;
  const auto done = s.append(test::tiny_tokens(tiny_, 10),
                             {.stop = stop.get_token(),
                              .progress = [&](std::size_t, std::size_t) { stop.request_stop(); }});
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(*done, 4u);
  EXPECT_EQ(s.tokens().size(), 4u);
  EXPECT_TRUE(s.logits().empty());  // those of the last token, which was not computed
}

TEST_F(SequenceTest, EveryLogitComesOncePerPositionInOrder) {
  auto s = sequence({.prefill_chunk = 4});
  std::vector<std::uint32_t> positions;
  std::vector<float> last;
  ASSERT_TRUE(s.append(test::tiny_tokens(tiny_, 6),
                       {.every_logit =
                            [&](std::uint32_t position, std::span<const float> logits) {
                              positions.push_back(position);
                              last.assign(logits.begin(), logits.end());
                            }})
                  .ok());
  EXPECT_THAT(positions, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(last, std::vector<float>(s.logits().begin(), s.logits().end()));
}

// The largest logits in place of all: of the last token alone, whatever the chunks.
TEST_F(SequenceTest, AsksForTheLargestLogits) {
  const auto tokens = test::tiny_tokens(tiny_, 10);
  auto whole = sequence();
  ASSERT_TRUE(whole.append(tokens).ok());
  EXPECT_TRUE(whole.candidates().empty());
  auto s = sequence({.prefill_chunk = 4});
  const std::vector<text::TokenId> always{3, 90};
  ASSERT_TRUE(s.append(tokens, {.top = TopLogits{5, tiny_.vocab, always}}).ok());
  EXPECT_TRUE(s.logits().empty());
  ASSERT_GE(s.candidates().size(), 5u);
  std::vector<text::TokenId> found;
  for (const auto& candidate : s.candidates()) {
    EXPECT_EQ(candidate.logit, whole.logits()[static_cast<std::size_t>(candidate.token)]);
    found.push_back(candidate.token);
  }
  EXPECT_THAT(found, ::testing::IsSupersetOf(always));
  const auto best = std::max_element(whole.logits().begin(), whole.logits().end());
  EXPECT_THAT(found, ::testing::Contains(best - whole.logits().begin()));
  ASSERT_TRUE(s.append({tokens.data(), 1}).ok());  // and all again
  EXPECT_EQ(s.logits().size(), tiny_.vocab);
  EXPECT_TRUE(s.candidates().empty());
}

// A token of a certified head reads few rows, of which nothing stays; all logits read all rows.
TEST_F(SequenceTest, RowsOfTheHeadStayInMemoryWhereAllAreRead) {
  const std::span<const std::byte> head = model_->file().tensor("token_embd.weight")->data;
  auto s = sequence();
  const auto tokens = test::tiny_tokens(tiny_, 3);
  ASSERT_TRUE(s.append(tokens, {.top = TopLogits{5, tiny_.vocab, {}}}).ok());
  EXPECT_EQ(test::resident_bytes(head), 0u);
  ASSERT_TRUE(s.append(tokens).ok());
  EXPECT_GT(test::resident_bytes(head), 0u);
  ASSERT_TRUE(s.append(tokens, {.top = TopLogits{5, tiny_.vocab, {}}}).ok());
  EXPECT_EQ(test::resident_bytes(head), 0u);
}

TEST_F(SequenceTest, PromptBeyondTheContextIsRefusedBeforeItIsComputed) {
  auto s = sequence({.context = 8});
  const auto done = s.append(test::tiny_tokens(tiny_, 9));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kContextLength);
  EXPECT_THAT(done.error().message, HasSubstr("9 tokens do not fit into the context of 8"));
  EXPECT_TRUE(s.tokens().empty());
  EXPECT_TRUE(s.append(test::tiny_tokens(tiny_, 8)).ok());
  EXPECT_EQ(s.room(), 0u);
}

TEST_F(SequenceTest, TokensOutsideOfTheVocabularyAreRefused) {
  auto s = sequence();
  for (const text::TokenId token : {-1, static_cast<int>(tiny_.vocab)}) {
    const auto done = s.append({&token, 1});
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, ErrorCode::kUsage);
    EXPECT_THAT(done.error().message, HasSubstr("expected 0 to 95, found "));
  }
  EXPECT_TRUE(s.append(std::vector<text::TokenId>{0, 95}).ok());
}

// A NaN behind the last activation reaches nothing but the logits, and those are looked at.
TEST_F(SequenceTest, LogitsThatAreNoNumbersAreRefused) {
  tiny_.tamper = [](const std::string& name, std::vector<std::byte>& bytes) {
    if (name == "output_norm.weight") std::fill_n(bytes.begin(), 4, std::byte{0xff});
    return true;
  };
  auto file = format::GgufFile::open(write_tiny_model(directory_.path(), tiny_));
  ASSERT_TRUE(file.ok());
  const auto model = model::Model::load(std::move(*file), backend_);
  ASSERT_TRUE(model.ok());
  auto s = Sequence::create(*model);
  ASSERT_TRUE(s.ok());
  const auto done = s->append(test::tiny_tokens(tiny_, 3));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kNumeric);
  EXPECT_THAT(done.error().to_string(), HasSubstr("a logit is a NaN"));
}

TEST_F(SequenceTest, OptionsOutOfRangeAreRefused) {
  EXPECT_EQ(Sequence::create(*model_, {.context = 65}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(Sequence::create(*model_, {.prefill_chunk = 0}).error().to_string(),
            "prefill chunk: expected at least 1 token, found 0");
}

// Tokens that were not computed take their places; what follows is computed behind them, the same
// each time.
TEST_F(SequenceTest, PretendedTokensStandBeforeComputedOnes) {
  for (const auto kv : {format::KvType::kF16, format::KvType::kInt8}) {
    const auto tokens = test::tiny_tokens(tiny_, 41);
    std::vector<float> logits;
    for (int time = 0; time < 2; ++time) {
      Sequence s = sequence({.kv_type = kv});
      EXPECT_EQ(s.kv_type(), kv);
      ASSERT_TRUE(s.pretend(std::span(tokens).first(40)).ok());
      EXPECT_EQ(s.tokens().size(), 40u);
      EXPECT_TRUE(s.logits().empty());
      ASSERT_TRUE(s.append(std::span(tokens).last(1)).ok());
      EXPECT_EQ(s.room(), 23u);
      const std::vector<float> found(s.logits().begin(), s.logits().end());
      if (time == 1) {
        EXPECT_EQ(found, logits);
      }
      logits = found;
      const auto again = s.pretend(std::span(tokens).first(1));
      ASSERT_FALSE(again.ok());
      EXPECT_EQ(again.error().code, ErrorCode::kUsage);
      EXPECT_THAT(again.error().to_string(), HasSubstr("found 41 tokens"));
    }
  }
}

TEST_F(SequenceTest, PretendChecksItsTokens) {
  Sequence s = sequence();
  EXPECT_EQ(s.pretend(std::vector<text::TokenId>(65)).error().code, ErrorCode::kContextLength);
  EXPECT_EQ(s.pretend(std::vector<text::TokenId>{-1}).error().code, ErrorCode::kUsage);
  EXPECT_TRUE(s.tokens().empty());
}

TEST_F(SequenceTest, MemoryIsRefusedBeforeItIsTaken) {
  const auto s = Sequence::create(*model_, {.available_memory = 1000});
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.error().code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(s.error().to_string(), HasSubstr("KV cache of 64 tokens"));
  // Besides 32 MiB for logits.
  EXPECT_FALSE(Sequence::create(*model_, {.available_memory = (32u << 20) + 1000}).ok());
  EXPECT_TRUE(Sequence::create(*model_, {.available_memory = 64u << 20}).ok());
}

// Whatever was computed beyond, the logits are those of a sequence that never had it.
TEST_F(SequenceTest, TruncateForgets) {
  const auto tokens = test::tiny_tokens(tiny_, 60);
  const std::span all(tokens);
  for (const auto kv : {format::KvType::kF16, format::KvType::kInt8}) {
    auto plain = sequence({.kv_type = kv});
    ASSERT_TRUE(plain.append(all.first(40)).ok());
    const std::vector<float> expected(plain.logits().begin(), plain.logits().end());
    for (const std::size_t kept : {0u, 1u, 31u, 32u, 33u, 39u}) {
      auto s = sequence({.kv_type = kv});
      ASSERT_TRUE(s.append(all.first(kept)).ok());
      ASSERT_TRUE(s.append(all.last(60 - 40)).ok());
      ASSERT_TRUE(s.truncate(kept).ok());
      EXPECT_EQ(s.tokens().size(), kept);
      EXPECT_TRUE(s.logits().empty());
      ASSERT_TRUE(s.append(all.subspan(kept, 40 - kept)).ok());
      EXPECT_TRUE(
          std::equal(expected.begin(), expected.end(), s.logits().begin(), s.logits().end()))
          << kept;
    }
    EXPECT_THAT(plain.truncate(41).error().to_string(), HasSubstr("at most the 40 tokens"));
  }
}

}  // namespace
}  // namespace tern::engine
