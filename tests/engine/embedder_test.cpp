// Vectors of texts: which hidden states they are made of, and that company changes none.
#include "engine/embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "engine/pooler.h"
#include "engine/sequence.h"
#include "kernels/registry.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::engine {
namespace {

using arch::Pooling;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using Vector = std::vector<float>;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

TEST(Pooler, TakesTheFirstTheLastOrTheMean) {
  const Vector first{1, 2};
  const Vector rest{3, 5, 8, -1};
  const auto pooled = [&](Pooling pooling) {
    Pooler pooler(pooling, 2);
    pooler.add(first);
    pooler.add({});
    pooler.add(rest);
    return pooler.result(false);
  };
  EXPECT_THAT(pooled(Pooling::kCls), ElementsAre(1, 2));
  EXPECT_THAT(pooled(Pooling::kLast), ElementsAre(8, -1));
  EXPECT_THAT(pooled(Pooling::kMean), ElementsAre(4, 2));
}

TEST(Pooler, TheSumOfAMeanDoesNotSwallowSmallStates) {
  Pooler pooler(Pooling::kMean, 1);
  pooler.add(Vector{1.0f});
  for (int i = 0; i < 1023; ++i) pooler.add(Vector{0x1p-30f});
  EXPECT_EQ(pooler.result(false)[0], static_cast<float>((1.0 + 1023 * 0x1p-30) / 1024));
}

TEST(Pooler, VectorsHaveLengthOneAndZerosStay) {
  Pooler pooler(Pooling::kLast, 3);
  pooler.add(Vector{3e30f, 0, -4e30f});  // whose squares f32 cannot hold
  EXPECT_THAT(pooler.result(true), ElementsAre(FloatEq(0.6f), 0, FloatEq(-0.8f)));
  pooler.add(Vector{3e-30f, 4e-30f, 0});
  EXPECT_THAT(pooler.result(true),
              ElementsAre(FloatEq(3e-18f), FloatEq(4e-18f), 0));  // below the least length
  pooler.add(Vector{0, 0, 0});
  EXPECT_THAT(pooler.result(true), ElementsAre(0, 0, 0));
}

class EmbedderTest : public ::testing::Test {
 protected:
  void SetUp() override { load(); }
  void load() {
    tiny_.context = 100;
    model_.emplace(must(model::Model::load(
        must(format::GgufFile::open(write_tiny_model(directory_.path(), tiny_))), backend_)));
  }
  Embedder::Tokens tokens_of(std::size_t count, int which) {
    auto tokens = test::tiny_tokens(tiny_, count);
    for (auto& token : tokens) token = (token + which) % static_cast<int>(tiny_.vocab);
    return tokens;
  }
  std::vector<Vector> embed(const std::vector<Embedder::Tokens>& texts,
                            const EmbedderOptions& options) {
    auto embedder = must(Embedder::create(*model_, options));
    std::vector<Vector> vectors;
    const std::size_t done =
        must(embedder.embed(texts, [&](std::size_t text, std::span<const float> vector) {
          EXPECT_EQ(text, vectors.size());
          vectors.emplace_back(vector.begin(), vector.end());
          return Result<void>();
        }));
    EXPECT_EQ(done, texts.size());
    return vectors;
  }
  Error refusal(const std::vector<Embedder::Tokens>& texts, const EmbedderOptions& options) {
    auto embedder = Embedder::create(*model_, options);
    if (!embedder) return embedder.error();
    auto done = embedder->embed(texts, [](std::size_t, std::span<const float>) {
      return Error{ErrorCode::kUsage, "a text was computed", "test"};
    });
    return done.ok() ? Error{ErrorCode::kUsage, "no error", "test"} : done.error();
  }
  // The hidden states of a text, computed alone in one step.
  std::vector<Vector> hidden(const Embedder::Tokens& tokens) {
    const auto stepper = must(Stepper::create(*model_, {.rows = 100, .pages = 4}));
    auto sequence = must(Sequence::create(*stepper));
    Advance advance{&sequence, tokens};
    advance.hidden = true;
    must(stepper->step({&advance, 1}));
    EXPECT_EQ(sequence.hidden().size(), tokens.size() * tiny_.hidden);
    EXPECT_EQ(sequence.logits().size(), tiny_.vocab);  // beside them
    std::vector<Vector> states;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto state = sequence.hidden().subspan(i * tiny_.hidden, tiny_.hidden);
      states.emplace_back(state.begin(), state.end());
    }
    return states;
  }

  test::TinyModel tiny_;
  test::TemporaryDirectory directory_;
  backend::CpuBackend backend_{kernels::scalar_table(), 2};
  std::optional<model::Model> model_;
};

TEST_F(EmbedderTest, VectorsAreMadeOfTheTextsOwnHiddenStates) {
  const auto tokens = tokens_of(7, 0);
  const auto states = hidden(tokens);
  const auto pooled = [&](Pooling pooling) {
    return embed({tokens}, {.pooling = pooling, .normalize = false})[0];
  };
  EXPECT_EQ(pooled(Pooling::kLast), states.back());
  EXPECT_EQ(pooled(Pooling::kCls), states.front());
  const Vector mean = pooled(Pooling::kMean);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    double sum = 0.0;
    for (const Vector& state : states) sum += static_cast<double>(state[i]);
    EXPECT_EQ(mean[i], static_cast<float>(sum / 7.0));
  }
  const Vector unit = embed({tokens}, {.pooling = Pooling::kLast})[0];
  double squares = 0.0;
  for (const float x : unit) squares += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_NEAR(squares, 1.0, 1e-6);
  EXPECT_GT(unit[0] * states.back()[0], 0.0f);
}

// Steps of 9 tokens cut the longer texts, and many short ones share one.
TEST_F(EmbedderTest, CompanyAndStepsChangeNoVector) {
  std::vector<Embedder::Tokens> texts;
  for (int i = 0; i < 90; ++i) texts.push_back(tokens_of(1 + static_cast<std::size_t>(i) % 5, i));
  texts.push_back(tokens_of(100, 1));
  texts.push_back(tokens_of(40, 2));
  for (const auto pooling : {Pooling::kLast, Pooling::kMean, Pooling::kCls}) {
    const auto together = embed(texts, {.pooling = pooling});
    EXPECT_EQ(embed(texts, {.pooling = pooling, .rows = 9}), together);
    EXPECT_EQ(embed(texts, {.pooling = pooling, .rows = 1}), together);
    for (const std::size_t i : {0u, 50u, 90u, 91u}) {
      EXPECT_EQ(embed({texts[i]}, {.pooling = pooling})[0], together[i]);
    }
  }
  EXPECT_TRUE(embed({}, {}).empty());
}

TEST_F(EmbedderTest, TextsThatCannotBeAreNamedBeforeAnyIsComputed) {
  const auto good = tokens_of(3, 0);
  EXPECT_EQ(refusal({good, {}}, {}).to_string(),
            "text 2: expected at least one token, found none: the text is empty and the "
            "vocabulary adds no token");
  const Error length = refusal({good, good, tokens_of(31, 0)}, {.context = 30});
  EXPECT_EQ(length.code, ErrorCode::kContextLength);
  EXPECT_EQ(length.to_string(),
            "text 3: 31 tokens do not fit into the context of 30; shorten the text or divide it");
  EXPECT_EQ(refusal({good, {1, 96}}, {}).to_string(), "text 2: expected tokens below 96, found 96");
  EXPECT_THAT(refusal({{-1}}, {}).to_string(), HasSubstr("found -1"));
}

TEST_F(EmbedderTest, OptionsOutOfRangeAreRefused) {
  EXPECT_THAT(refusal({}, {.context = 101}).to_string(), HasSubstr("expected at most 100 tokens"));
  EXPECT_THAT(refusal({}, {.rows = 0}).to_string(), HasSubstr("expected at least 1 token"));
  const Error memory = refusal({}, {.available_memory = 1000});
  EXPECT_EQ(memory.code, ErrorCode::kOutOfMemory);
}

TEST_F(EmbedderTest, AStopRequestEndsBetweenSteps) {
  auto embedder = must(Embedder::create(*model_, {.rows = 4}));
  const std::vector<Embedder::Tokens> texts{tokens_of(4, 0), tokens_of(4, 1), tokens_of(4, 2)};
  std::stop_source stop;
  const auto sink = [&](std::size_t text, std::span<const float>) {
    if (text == 1) stop.request_stop();
    return Result<void>();
  };
  EXPECT_EQ(must(embedder.embed(texts, sink, stop.get_token())), 2u);
}

TEST_F(EmbedderTest, TheErrorOfTheSinkEndsTheWork) {
  EXPECT_EQ(refusal({tokens_of(2, 0)}, {}).to_string(), "test: a text was computed");
}

// The embedding of one token is no number.
TEST_F(EmbedderTest, ATextThatFailsIsNamed) {
  constexpr int kBad = 7;
  tiny_.tied = false;
  tiny_.tamper = [this](const std::string& name, std::vector<std::byte>& bytes) {
    if (name == "token_embd.weight") {
      std::memset(&bytes[kBad * tiny_.hidden * 2], 0xff, tiny_.hidden * 2);
    }
    return true;
  };
  load();
  const Error error = refusal({{kBad, 1}}, {});
  EXPECT_EQ(error.code, ErrorCode::kNumeric);
  EXPECT_THAT(error.to_string(), HasSubstr("text 1: layer 0, position 0"));
}

}  // namespace
}  // namespace tern::engine
