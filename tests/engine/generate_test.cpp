// Generation on the embedded model's file: ends, streaming, cancellation, reproducibility.
#include "engine/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "kernels/registry.h"
#include "text/vocabulary.h"

namespace tern::engine {
namespace {

class GenerateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf");
    ASSERT_TRUE(file.ok()) << file.error().to_string();
    auto tokenizer = text::Tokenizer::from_gguf(*file);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
    tokenizer_.emplace(std::move(*tokenizer));
    auto model = model::Model::load(std::move(*file), backend_);
    ASSERT_TRUE(model.ok()) << model.error().to_string();
    model_.emplace(std::move(*model));
  }

  GenerateRequest request(std::uint32_t max_tokens, float temperature = 0.0f) {
    GenerateRequest r;
    r.prompt = tokenizer_->encode("Once upon a time");
    r.answer.sampling.temperature = temperature;
    r.answer.max_tokens = max_tokens;
    r.answer.ignore_end = true;
    return r;
  }
  Result<Generation> run(const GenerateRequest& r, std::uint32_t context = 0) {
    auto sequence = Sequence::create(*model_, {.context = context});
    if (!sequence) return sequence.error();
    return generate(*sequence, *tokenizer_, r, telemetry_);
  }
  Generation must_run(const GenerateRequest& r, std::uint32_t context = 0) {
    auto generation = run(r, context);
    if (!generation) throw std::runtime_error(generation.error().to_string());
    return std::move(*generation);
  }

  backend::CpuBackend backend_{kernels::best_table(detect_cpu_features()), 1};
  telemetry::Telemetry telemetry_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<model::Model> model_;
};

TEST_F(GenerateTest, StreamsTheTextThatItReturns) {
  auto r = request(24);
  std::string streamed;
  int pieces = 0;
  r.on_text = [&](std::string_view piece) {
    EXPECT_FALSE(piece.empty());
    streamed += piece;
    ++pieces;
  };
  const Generation g = must_run(r);
  EXPECT_EQ(g.end, EndReason::kMaxTokens);
  EXPECT_EQ(g.tokens.size(), 24u);
  EXPECT_EQ(g.text, streamed);
  EXPECT_GT(pieces, 10);
  EXPECT_EQ(g.prompt_tokens, r.prompt.size());
}

TEST_F(GenerateTest, TheSameSeedGivesTheSameText) {
  auto r = request(24, 1.0f);
  r.answer.sampling.seed = 42;
  const auto first = must_run(r).tokens;
  EXPECT_EQ(must_run(r).tokens, first);
  r.answer.sampling.seed = 43;
  EXPECT_NE(must_run(r).tokens, first);
}

TEST_F(GenerateTest, FewerTokensAreABeginningOfMore) {
  const auto more = must_run(request(20, 0.9f)).tokens;
  const auto fewer = must_run(request(7, 0.9f)).tokens;
  ASSERT_EQ(more.size(), 20u);
  EXPECT_EQ(fewer, std::vector(more.begin(), more.begin() + 7));
}

TEST_F(GenerateTest, StopStringEndsBeforeItself) {
  const std::string text = must_run(request(24)).text;
  auto r = request(24);
  r.answer.stops = {text.substr(10, 5)};
  const Generation g = must_run(r);
  EXPECT_EQ(g.end, EndReason::kStopString);
  EXPECT_EQ(g.text, text.substr(0, text.find(r.answer.stops[0])));
}

TEST_F(GenerateTest, TextThatOnlyBeginsAStopStringIsNotLost) {
  const std::string text = must_run(request(24)).text;
  auto r = request(24);
  r.answer.stops = {text.substr(text.size() - 2) + "\x01"};
  const Generation g = must_run(r);
  EXPECT_EQ(g.end, EndReason::kMaxTokens);
  EXPECT_EQ(g.text, text);
}

TEST_F(GenerateTest, EndsWhenTheContextIsFull) {
  auto r = request(1000);
  for (const auto& max_tokens : {r.answer.max_tokens, std::optional<std::uint32_t>()}) {
    r.answer.max_tokens = max_tokens;
    const Generation g = must_run(r, 16);
    EXPECT_EQ(g.end, EndReason::kContextFull);
    EXPECT_EQ(g.tokens.size(), 16 - r.prompt.size());
  }
  const Generation none = must_run(r, static_cast<std::uint32_t>(r.prompt.size()));
  EXPECT_EQ(none.end, EndReason::kContextFull);
  EXPECT_TRUE(none.tokens.empty());
  r.answer.max_tokens = static_cast<std::uint32_t>(16 - r.prompt.size());
  EXPECT_EQ(must_run(r, 16).end, EndReason::kMaxTokens);
}

// The certified head and the full scan write the same text, whatever samples from it.
TEST_F(GenerateTest, TheCertifiedHeadChangesNoToken) {
  ASSERT_TRUE(model_->head().certified);
  backend::CpuBackend backend(kernels::best_table(detect_cpu_features()), 2);
  auto file = format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf");
  ASSERT_TRUE(file.ok());
  const auto exact =
      model::Model::load(std::move(*file), backend, {.head = model::HeadMode::kExact});
  ASSERT_TRUE(exact.ok());
  for (const SamplingOptions& sampling :
       {SamplingOptions{.temperature = 0.0f},
        SamplingOptions{.temperature = 0.0f, .repeat_penalty = 1.5f},
        SamplingOptions{.temperature = 1.0f, .top_k = 40, .repeat_penalty = 1.2f, .seed = 1},
        SamplingOptions{.temperature = 3.0f, .top_k = 256, .top_p = 1, .min_p = 0, .seed = 2},
        SamplingOptions{.temperature = 1.5f, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 4},
        SamplingOptions{.temperature = 1.0f, .top_k = 0, .seed = 3}}) {
    auto r = request(60);
    r.answer.sampling = sampling;
    const Generation certified = must_run(r);
    auto sequence = Sequence::create(*exact);
    ASSERT_TRUE(sequence.ok());
    const auto full = generate(*sequence, *tokenizer_, r, telemetry_);
    ASSERT_TRUE(full.ok());
    EXPECT_EQ(certified.text, full->text);
    EXPECT_EQ(certified.tokens, full->tokens);
    const std::size_t vocab = tokenizer_->vocab_size();
    const bool top_p_of_all = sampling.top_k == 0 && sampling.top_p < 1.0f;
    EXPECT_EQ(certified.searches, top_p_of_all ? 0u : 60u);
    EXPECT_EQ(full->head_rows, full->searches * vocab);
    EXPECT_LE(certified.head_rows, certified.searches * vocab / 3);
  }
}

// Asking for probabilities costs all logits, and changes no token.
TEST_F(GenerateTest, ProbabilitiesComeWithEachTokenAndChangeNone) {
  for (const float temperature : {0.0f, 1.0f}) {
    const auto r = request(8, temperature);
    const Generation plain = must_run(r);
    auto sequence = Sequence::create(*model_);
    AnswerOptions options = r.answer;
    options.logprobs = 3;
    auto answer = Answer::create(*tokenizer_, r.prompt, options);
    ASSERT_TRUE(sequence.ok() && answer.ok());
    EXPECT_FALSE(answer->wanted(*model_));
    ASSERT_TRUE(sequence->append(r.prompt).ok());
    for (std::optional<EndReason> end; !end;) {
      const auto piece = answer->next(*sequence);
      ASSERT_TRUE(piece.ok());
      end = piece->end;
      ASSERT_EQ(piece->logprobs.size(), 4u);
      EXPECT_EQ(piece->logprobs[0].token, *piece->token);
      EXPECT_LE(piece->logprobs[0].logprob, piece->logprobs[1].logprob);
      EXPECT_LT(piece->logprobs[1].logprob, 0.0);
      if (!end) {
        ASSERT_TRUE(sequence->append({&*piece->token, 1}).ok());
      }
    }
    EXPECT_EQ(std::vector(answer->generated().begin(), answer->generated().end()), plain.tokens);
  }
}

TEST_F(GenerateTest, EndTokenEndsUnlessIgnored) {
  auto r = request(8);
  const auto tokens = must_run(r).tokens;
  ASSERT_EQ(tokens.size(), 8u);
  // The same vocabulary with the fourth of these tokens as its end.
  auto vocabulary = text::read_vocabulary(model_->file());
  ASSERT_TRUE(vocabulary.ok());
  vocabulary->eos = tokens[3];
  auto tokenizer = text::Tokenizer::create(std::move(*vocabulary));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  tokenizer_.emplace(std::move(*tokenizer));
  EXPECT_EQ(must_run(r).tokens, tokens);
  r.answer.ignore_end = false;
  const Generation g = must_run(r);
  EXPECT_EQ(g.end, EndReason::kEndOfSequence);
  const auto first = std::find(tokens.begin(), tokens.end(), tokens[3]);
  EXPECT_EQ(g.tokens, std::vector(tokens.begin(), first));
  // Not before there are so many, and with the tokens before it as they were.
  const auto whole = static_cast<std::uint32_t>(g.tokens.size());
  for (const std::uint32_t least : {whole, whole + 1, whole + 3}) {
    r.answer.min_tokens = least;
    const Generation longer = must_run(r);
    EXPECT_GE(longer.tokens.size(), least);
    EXPECT_EQ(longer.tokens.size() == whole, least == whole) << least;
    EXPECT_TRUE(std::equal(tokens.begin(), first, longer.tokens.begin()));
    EXPECT_EQ(std::count(longer.tokens.begin(), longer.tokens.end(), tokens[3]), 0);
  }
  r.answer.ignore_end = true;
  r.answer.stop_tokens = {tokens[1]};
  r.answer.min_tokens = 1;
  EXPECT_EQ(must_run(r).tokens.size(), 1u);
  r.answer.min_tokens = 2;
  EXPECT_GE(must_run(r).tokens.size(), 2u);
}

TEST_F(GenerateTest, StopStringsCountFromTheLeastNumberOfTokensOn) {
  const Generation plain = must_run(request(24));
  auto r = request(24);
  r.answer.stops = {" "};
  const std::size_t early = must_run(r).tokens.size();
  r.answer.min_tokens = 12;
  const Generation g = must_run(r);
  EXPECT_LT(early, 12u);
  EXPECT_EQ(g.end, EndReason::kStopString);
  EXPECT_GE(g.tokens.size(), 12u);
  EXPECT_EQ(g.text, plain.text.substr(0, g.text.size()));
  EXPECT_EQ(plain.text[g.text.size()], ' ');
  r.answer.shown_stops = 1;
  EXPECT_EQ(must_run(r).text, g.text + " ");
  for (std::uint32_t i = 1; i <= 12; ++i) {  // a token that brings it may be the last of so many
    r.answer.min_tokens = i;
    EXPECT_GE(must_run(r).tokens.size(), i);
  }
  r.answer.min_tokens = static_cast<std::uint32_t>(g.tokens.size());
  EXPECT_EQ(must_run(r).tokens, g.tokens);
  // One of several tokens, some of which come before: it counts with the token that ends it.
  r.answer.stops = {plain.text.substr(plain.text.find(' ', 1), 16)};
  r.answer.min_tokens = 0;
  const auto last = static_cast<std::uint32_t>(must_run(r).tokens.size());
  ASSERT_GT(last, 4u);
  for (std::uint32_t least = 1; least <= last; ++least) {
    r.answer.min_tokens = least;
    EXPECT_EQ(must_run(r).tokens.size(), last) << least;
  }
  r.answer.min_tokens = last + 1;
  EXPECT_GT(must_run(r).tokens.size(), last);
}

TEST_F(GenerateTest, CancelledBetweenTokens) {
  auto r = request(1000);
  std::stop_source stop;
  r.cancel = stop.get_token();
  int pieces = 0;
  r.on_text = [&](std::string_view) {
    if (++pieces == 5) stop.request_stop();
  };
  const Generation g = must_run(r);
  EXPECT_EQ(g.end, EndReason::kCancelled);
  EXPECT_LT(g.tokens.size(), 20u);
}

TEST_F(GenerateTest, CancelledBeforeThePromptIsComputed) {
  auto r = request(10);
  std::stop_source stop;
  stop.request_stop();
  r.cancel = stop.get_token();
  const Generation g = must_run(r);
  EXPECT_EQ(g.end, EndReason::kCancelled);
  EXPECT_EQ(g.prompt_tokens, 0u);
  EXPECT_EQ(g.searches, 0u);
  EXPECT_TRUE(g.tokens.empty());
}

TEST_F(GenerateTest, ZeroTokensIsAnAnswer) {
  const Generation g = must_run(request(0));
  EXPECT_EQ(g.end, EndReason::kMaxTokens);
  EXPECT_TRUE(g.text.empty());
}

TEST_F(GenerateTest, AnEmptyPromptIsRefused) {
  auto r = request(1);
  r.prompt.clear();
  EXPECT_EQ(run(r).error().code, ErrorCode::kUsage);
}

TEST_F(GenerateTest, CountsAndReports) {
  std::ostringstream lines;
  telemetry_.add_sink(std::make_unique<telemetry::JsonLinesSink>(lines));
  const auto r = request(3);
  must_run(r);
  EXPECT_EQ(telemetry_.counters().at("engine.generated_tokens"), 3u);
  EXPECT_EQ(telemetry_.counters().at("engine.prompt_tokens"), r.prompt.size());
  EXPECT_EQ(telemetry_.counters().at("engine.head_searches"), 3u);
  EXPECT_GE(telemetry_.counters().at("engine.head_rows"), 3u);
  EXPECT_NE(lines.str().find(R"("event":"sequence.finished")"), std::string::npos);
  EXPECT_NE(lines.str().find(R"("reason":"max_tokens")"), std::string::npos);
}

TEST(EndReasons, HaveStableNames) {
  EXPECT_EQ(name(EndReason::kEndOfSequence), "end_of_sequence");
  EXPECT_EQ(name(EndReason::kStopString), "stop_string");
  EXPECT_EQ(name(EndReason::kMaxTokens), "max_tokens");
  EXPECT_EQ(name(EndReason::kContextFull), "context_full");
  EXPECT_EQ(name(EndReason::kCancelled), "cancelled");
  EXPECT_EQ(name(EndReason::kDeadline), "deadline");
}

}  // namespace
}  // namespace tern::engine
