// Logged requests answered again: what a line must have, and what is said of answers that differ.
#include "serve/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "engine/generate.h"
#include "kernels/registry.h"
#include "text/chat_prompt.h"

namespace tern::serve {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using Outcome = Replay::Outcome;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

json::object line() {
  return {{"event", "http.request"},
          {"time", 1.5},
          {"request_id", "req-1"},
          {"path", "/v1/completions"},
          {"status", 200},
          {"body", R"({"prompt": "Once"})"},
          {"system_fingerprint", "tern-1.2-f16-0123456789ab"},
          {"version", "1.2+abc"},
          {"model", "tales"},
          {"seed", 7},
          {"created", 5},
          {"max_tokens", 16},
          {"context", 512},
          {"choices", json::array{{{"index", 0},
                                   {"tokens", json::array{5, 6}},
                                   {"text", "ab"},
                                   {"finish_reason", "length"}}}}};
}

TEST(LoggedRequest, IsReadFromItsLine) {
  const auto read = must(read_logged_request(json::serialize(line())));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->id, "req-1");
  EXPECT_EQ(read->path, "/v1/completions");
  EXPECT_EQ(read->body, R"({"prompt": "Once"})");
  EXPECT_EQ(read->fingerprint, "tern-1.2-f16-0123456789ab");
  EXPECT_EQ(read->build, "1.2+abc");
  EXPECT_EQ(read->model, "tales");
  EXPECT_EQ(read->seed, 7u);
  EXPECT_EQ(read->created, 5);
  EXPECT_EQ(read->max_tokens, 16u);
  EXPECT_EQ(read->context, 512u);
  EXPECT_EQ(read->chat_template, "");
  ASSERT_EQ(read->choices.size(), 1u);
  EXPECT_EQ(read->choices[0].tokens, (std::vector<text::TokenId>{5, 6}));
  EXPECT_EQ(read->choices[0].text, "ab");
  EXPECT_EQ(read->choices[0].finish_reason, "length");
}

TEST(LoggedRequest, ASeedMayBeAny) {
  json::object largest = line();
  largest["seed"] = UINT64_MAX;
  EXPECT_EQ(must(read_logged_request(json::serialize(largest)))->seed, UINT64_MAX);
  largest["seed"] = -1;
  EXPECT_FALSE(read_logged_request(json::serialize(largest)));
}

TEST(LoggedRequest, OtherLinesAreNone) {
  for (const char* name : {"body", "choices", "event"}) {
    json::object other = line();
    other.erase(name);
    EXPECT_FALSE(must(read_logged_request(json::serialize(other)))) << name;
  }
  json::object other = line();
  other["event"] = "request.finished";
  EXPECT_FALSE(must(read_logged_request(json::serialize(other))));
}

TEST(LoggedRequest, ABrokenLineNamesTheField) {
  for (const char* name : {"request_id", "path", "body", "system_fingerprint", "version", "model",
                           "seed", "created", "max_tokens", "context", "choices"}) {
    json::object bad = line();
    bad[name] = json::object();
    const auto read = read_logged_request(json::serialize(bad));
    ASSERT_FALSE(read) << name;
    EXPECT_EQ(read.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(read.error().context, name);
  }
  for (const char* name : {"tokens", "text", "finish_reason"}) {
    json::object bad = line();
    bad["choices"].at(0).as_object()[name] = 5;
    const auto read = read_logged_request(json::serialize(bad));
    ASSERT_FALSE(read) << name;
    EXPECT_EQ(read.error().context, std::string("choices[0].") + name);
  }
  for (const json::value& token : {json::value(-1), json::value(1.5), json::value("5")}) {
    json::object bad = line();
    bad["choices"].at(0).at("tokens").as_array().push_back(token);
    EXPECT_FALSE(read_logged_request(json::serialize(bad)));
  }
  json::object bad = line();
  bad["choices"].as_array().push_back(5);
  EXPECT_EQ(read_logged_request(json::serialize(bad)).error().context, "choices[1]");
  EXPECT_FALSE(read_logged_request("{"));
  EXPECT_FALSE(read_logged_request("5"));
}

class ReplayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = must(format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf"));
    tokenizer_.emplace(must(text::Tokenizer::from_gguf(file)));
    model_.emplace(must(model::Model::load(std::move(file), backend_)));
    engine_ = must(engine::Engine::create(
        *model_, *tokenizer_, {.scheduler = {.rows = 32, .beside = 8, .sequences = 8, .pages = 40}},
        telemetry_));
    served_.emplace(ServedModel{.id = "own",
                                .also = {},
                                .model = *model_,
                                .tokenizer = *tokenizer_,
                                .chat_template = std::nullopt,
                                .fingerprint = "tern-1.2-f16-0123456789ab",
                                .context = 512,
                                .longest_text = 4096});
  }
  // Two choices of a prompt at T = 1, as an engine of its own writes each.
  LoggedRequest logged() {
    LoggedRequest request = must(read_logged_request(json::serialize(line()))).value();
    request.body = R"({"prompt": "Once upon a time", "model": "tales", "n": 2, "stream": true})";
    request.context = 200;
    request.choices.clear();
    for (std::uint64_t i = 0; i < 2; ++i) {
      auto sequence = must(engine::Sequence::create(*model_));
      engine::GenerateRequest solo;
      solo.prompt = tokenizer_->encode("Once upon a time");
      solo.answer.sampling = {.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .min_p = 0.0f};
      solo.answer.sampling.seed = 7 + i;
      solo.answer.max_tokens = 16;
      const auto made = must(engine::generate(sequence, *tokenizer_, solo, telemetry_));
      request.choices.push_back({made.tokens, made.text, "length"});
    }
    return request;
  }
  Replay again(const LoggedRequest& request) { return replay(request, *served_, *engine_); }
  void expect_difference(const LoggedRequest& request, const std::string& why) {
    const Replay found = again(request);
    EXPECT_EQ(found.outcome, Outcome::kDifferent);
    EXPECT_THAT(found.why, HasSubstr(why));
  }
  void expect_none(const LoggedRequest& request, const std::string& why) {
    const Replay found = again(request);
    EXPECT_EQ(found.outcome, Outcome::kNotReplayed);
    EXPECT_THAT(found.why, HasSubstr(why));
  }

  backend::CpuBackend backend_{kernels::best_table(detect_cpu_features()), 1};
  telemetry::Telemetry telemetry_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<model::Model> model_;
  std::unique_ptr<engine::Engine> engine_;
  std::optional<ServedModel> served_;
};

TEST_F(ReplayTest, TheSameAnswersAreIdentical) {
  const Replay found = again(logged());
  EXPECT_EQ(found.outcome, Outcome::kIdentical) << found.why;
  EXPECT_EQ(found.choices, 2u);
  EXPECT_EQ(found.tokens, 32u);
}

TEST_F(ReplayTest, ATemplateIsToldTheTimeThatItWas) {
  served_->chat_template =
      must(text::ChatTemplate::parse("It is {{ strftime_now('%Y') }}. {{ messages[0].content }}"));
  LoggedRequest request = logged();
  request.path = "/v1/chat/completions";
  request.body = R"({"messages": [{"role": "user", "content": "Once"}]})";
  request.created = 325'000'000;  // in April of 1980
  auto sequence = must(engine::Sequence::create(*model_));
  engine::GenerateRequest solo;
  const std::vector<text::ChatMessage> messages{{"user", "Once"}};
  text::ChatPromptOptions then;
  then.now = std::chrono::sys_seconds(std::chrono::seconds(request.created));
  solo.prompt = must(text::chat_prompt(*served_->chat_template, *tokenizer_, messages, then));
  solo.answer.sampling = {.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .min_p = 0.0f};
  solo.answer.sampling.seed = 7;
  solo.answer.max_tokens = 16;
  const auto made = must(engine::generate(sequence, *tokenizer_, solo, telemetry_));
  request.choices = {{made.tokens, made.text, "length"}};
  const Replay found = again(request);
  EXPECT_EQ(found.outcome, Outcome::kIdentical) << found.why;
}

TEST_F(ReplayTest, TheFirstDifferenceIsNamed) {
  LoggedRequest request = logged();
  const auto good = request.choices[1].tokens[3];
  request.choices[1].tokens[3] = 9;
  expect_difference(request, "choice 1: token 3 was 9 \"");
  expect_difference(request, "here it is " + std::to_string(good) + " \"");
  request = logged();
  request.choices[0].tokens.pop_back();
  expect_difference(request, "choice 0: token 15 was nothing, here it is ");
  request.choices[0] = logged().choices[0];
  request.choices[0].tokens.push_back(1 << 30);
  expect_difference(request, "token 16 was 1073741824, here it is nothing");
  request = logged();
  request.choices[0].text += "!";
  expect_difference(request, "the same tokens made another text");
  request.choices[0].finish_reason = "stop";
  expect_difference(request, "it ended with stop, here with length");
  request = logged();
  request.seed += 1;
  expect_difference(request, "choice 0: token ");
}

TEST_F(ReplayTest, OfAnAnswerThatWasCutThereIsAsMuch) {
  for (const char* reason : {"cancelled", "deadline", ""}) {
    for (const std::size_t count : {0u, 5u}) {
      LoggedRequest request = logged();
      request.choices[0].tokens.resize(count);
      request.choices[0].text = "";
      request.choices[0].finish_reason = reason;
      const Replay found = again(request);
      EXPECT_EQ(found.outcome, Outcome::kIdentical) << found.why;
      EXPECT_EQ(found.tokens, 16 + count);
      if (count == 0) continue;
      request.choices[0].tokens[4] = 9;
      expect_difference(request, "token 4 was 9");
    }
  }
}

TEST_F(ReplayTest, OfNothingNothingIsSaid) {
  LoggedRequest request = logged();
  for (LoggedChoice& choice : request.choices) choice = {{}, "", "cancelled"};
  expect_none(request, "it ended before its first token");
}

// A server with a smaller context ended it there.
TEST_F(ReplayTest, WithoutMaxTokensAnAnswerFillsTheContextThatItHad) {
  LoggedRequest request = logged();
  request.max_tokens = std::nullopt;
  request.context = static_cast<std::uint32_t>(tokenizer_->encode("Once upon a time").size()) + 16;
  EXPECT_EQ(again(request).outcome, Outcome::kIdentical);
}

TEST_F(ReplayTest, WhatElseDecidesTheBitsMustBeTheSame) {
  LoggedRequest request = logged();
  request.fingerprint = "tern-1.2-f16-ffff56789abc";
  expect_none(request,
              "another model answered it: its content is ffff56789abc, that of this one "
              "0123456789ab");
  request.fingerprint = "tern-1.2-int8-0123456789ab";
  expect_none(request, "start with --kv int8");
  request.fingerprint = "tern-1.1-f16-0123456789ab";
  expect_none(request, "another version answered it: tern-1.1, this is tern-1.2");
  for (const char* odd : {"", "-", "tern", "tern-1"}) {
    request.fingerprint = odd;
    expect_none(request, "another model");
  }
  request.fingerprint = "tern-1.2-f16-0123456789ab.1a2b3c4d";  // of a chat
  EXPECT_EQ(again(request).outcome, Outcome::kIdentical);
  request = logged();
  request.chat_template = "sha256:00";
  EXPECT_EQ(again(request).outcome, Outcome::kIdentical);  // nothing is known of it here
  served_->chat_template_sha256 = "00";
  EXPECT_EQ(again(request).outcome, Outcome::kIdentical);
  served_->chat_template_sha256 = "01";
  expect_none(request, "another chat template");
}

TEST_F(ReplayTest, WhatCannotBeReadHereIsSaid) {
  LoggedRequest request = logged();
  request.body = "{";
  expect_none(request, "its body is refused here: the body: ");
  request.body = R"({"prompt": "Once", "tools": 1})";
  expect_none(request, "refused here: tools: no such field");
  request.body = R"({"prompt": "Once"})";
  expect_none(request, "asks for 1 answers, but 2 were logged");
  request = logged();
  request.context = 100'000;
  expect_none(request, "it had a context of 100000 tokens, here there are 512");
  engine_->close();
  expect_none(logged(), "no more requests are taken");
}

}  // namespace
}  // namespace tern::serve
