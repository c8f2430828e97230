// Conversations on the embedded model's file: what is kept of earlier turns changes nothing.
#include "engine/chat_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "kernels/registry.h"
#include "text/named_templates.h"

namespace tern::engine {
namespace {

using testing::HasSubstr;
using Messages = std::vector<text::ChatMessage>;

class ChatSessionTest : public ::testing::TestWithParam<format::KvType> {
 protected:
  void SetUp() override {
    auto file = format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf");
    ASSERT_TRUE(file.ok()) << file.error().to_string();
    auto tokenizer = text::Tokenizer::from_gguf(*file);
    ASSERT_TRUE(tokenizer.ok());
    tokenizer_.emplace(std::move(*tokenizer));
    auto model = model::Model::load(std::move(*file), backend_);
    ASSERT_TRUE(model.ok());
    model_.emplace(std::move(*model));
  }
  ChatSession session(std::uint32_t context = 0) {
    auto chat = text::ChatTemplate::parse(text::find_named_template("plain")->source);
    auto made = ChatSession::create(*model_, *tokenizer_, std::move(*chat),
                                    {.context = context, .kv_type = GetParam()});
    if (!made) throw std::runtime_error(made.error().to_string());
    return std::move(*made);
  }
  Generation answer(ChatSession& in, const Messages& messages) {
    GenerateRequest request;
    request.answer.sampling.seed = 5;
    request.answer.sampling.repeat_penalty = 1.2f;
    request.answer.max_tokens = 20;
    auto made = in.answer(messages, request, telemetry_);
    if (!made) throw std::runtime_error(made.error().to_string());
    return std::move(*made);
  }
  std::vector<text::TokenId> fresh(const Messages& messages) {
    ChatSession own = session();
    const auto tokens = answer(own, messages).tokens;
    EXPECT_EQ(own.reused(), 0u);
    return tokens;
  }

  backend::CpuBackend backend_{kernels::best_table(detect_cpu_features()), 1};
  telemetry::Telemetry telemetry_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<model::Model> model_;
};

TEST_P(ChatSessionTest, EachAnswerIsThatOfAFreshSession) {
  ChatSession chat = session();
  Messages messages{{"system", "A tale."}, {"user", "Once upon a time there was a king"}};
  const Generation first = answer(chat, messages);
  EXPECT_EQ(chat.reused(), 0u);
  EXPECT_EQ(first.tokens, fresh(messages));

  messages.push_back({"assistant", first.text});
  messages.push_back({"user", "And then?"});
  const Generation second = answer(chat, messages);
  EXPECT_GE(chat.reused(), 15u);
  EXPECT_EQ(second.tokens, fresh(messages));

  EXPECT_EQ(answer(chat, messages).tokens, second.tokens);  // all but the last token is kept
  EXPECT_GT(chat.reused(), 25u);

  messages[1].content = "Once upon a time there was a queen";
  EXPECT_EQ(answer(chat, messages).tokens, fresh(messages));
  EXPECT_GE(chat.reused(), 5u);
  messages.resize(2);
  EXPECT_EQ(answer(chat, messages).tokens, fresh(messages));
  messages[0].content = "Hm.";
  EXPECT_EQ(answer(chat, messages).tokens, fresh(messages));
}

TEST_P(ChatSessionTest, AnAnswerThatWasStoppedIsNoHarm) {
  ChatSession chat = session();
  const Messages messages{{"user", "Once upon a time"}};
  GenerateRequest request;
  std::stop_source stop;
  request.cancel = stop.get_token();
  int pieces = 0;
  request.on_text = [&](std::string_view) {
    if (++pieces == 3) stop.request_stop();
  };
  const auto stopped = chat.answer(messages, request, telemetry_);
  ASSERT_TRUE(stopped.ok());
  EXPECT_EQ(stopped->end, EndReason::kCancelled);
  request.cancel = stop.get_token();  // already asked for: nothing is computed
  ASSERT_TRUE(
      chat.answer({{messages[0], {"assistant", "x"}, {"user", "y"}}}, request, telemetry_).ok());
  EXPECT_EQ(answer(chat, messages).tokens, fresh(messages));
}

TEST_P(ChatSessionTest, AConversationBeyondTheContextIsRefusedAndTheNextIsNot) {
  ChatSession chat = session(32);
  EXPECT_EQ(chat.context(), 32u);
  const Messages messages{{"user", "Once"}};
  const auto before = answer(chat, messages).tokens;
  std::string many;
  for (int i = 0; i < 40; ++i) many += "word ";
  const auto refused = chat.answer({{{"user", many}}}, {}, telemetry_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kContextLength);
  EXPECT_THAT(refused.error().to_string(), HasSubstr("expected fewer than the 32 tokens"));
  EXPECT_EQ(answer(chat, messages).tokens, before);
}

TEST_P(ChatSessionTest, AConversationThatFillsTheContextIsRefused) {
  ChatSession chat = session(32);
  GenerateRequest one;
  one.answer.max_tokens = 1;
  std::string words = "word";
  auto last = chat.answer({{{"user", words}}}, one, telemetry_);
  while (last.ok()) {
    words += " word";  // a token each
    last = chat.answer({{{"user", words}}}, one, telemetry_);
  }
  EXPECT_EQ(last.error().code, ErrorCode::kContextLength);
  EXPECT_THAT(last.error().to_string(), HasSubstr("found 32"));
}

TEST_P(ChatSessionTest, AnErrorLeavesASessionThatGoesOn) {
  ChatSession chat = session();
  const Messages messages{{"user", "Once"}};
  const auto before = answer(chat, messages).tokens;
  GenerateRequest wrong;
  wrong.answer.sampling.temperature = -1.0f;
  EXPECT_FALSE(chat.answer(messages, wrong, telemetry_).ok());
  EXPECT_EQ(chat.tokens(), 0u);
  EXPECT_EQ(answer(chat, messages).tokens, before);
}

INSTANTIATE_TEST_SUITE_P(All, ChatSessionTest,
                         testing::Values(format::KvType::kF16, format::KvType::kInt8),
                         [](const auto& kv) { return std::string(format::name(kv.param)); });

}  // namespace
}  // namespace tern::engine
