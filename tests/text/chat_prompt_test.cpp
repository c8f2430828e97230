#include "text/chat_prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/named_templates.h"
#include "text/vocabularies.h"

namespace tern::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Vocab {
  Vocab() : v(byte_vocabulary()) {
    v.bos = add_token(v, "<s>", TokenKind::kControl);
    end = add_token(v, "<|end|>", TokenKind::kControl);
    longer = add_token(v, "<|end|>>", TokenKind::kControl);
    inner = add_token(v, "|end|", TokenKind::kControl);
    single = add_token(v, "\xE2\x82\xAC", TokenKind::kControl);  // one character
  }
  Tokenizer tokenizer() const {
    auto made = Tokenizer::create(v);
    if (!made) throw std::runtime_error(made.error().to_string());
    return std::move(*made);
  }
  Vocabulary v;
  TokenId end = 0;
  TokenId longer = 0;
  TokenId inner = 0;
  TokenId single = 0;
};

std::vector<TokenId> prompt_of(std::string_view source, const Tokenizer& tokenizer,
                               const std::vector<ChatMessage>& messages,
                               const ChatPromptOptions& options = {}) {
  const auto chat = ChatTemplate::parse(source);
  if (!chat) throw std::runtime_error(chat.error().to_string());
  auto tokens = chat_prompt(*chat, tokenizer, messages, options);
  if (!tokens) throw std::runtime_error(tokens.error().to_string());
  return std::move(*tokens);
}

std::vector<TokenId> joined(std::vector<TokenId> a, std::string_view text,
                            const std::vector<TokenId>& b = {}) {
  for (const TokenId id : ids_of_bytes(text)) a.push_back(id);
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

constexpr std::string_view kSource =
    "{{ bos_token }}{% for m in messages %}{{ m.content | trim }}<|end|>{% endfor %}";

// What a template writes is a token, what a message says never is.
TEST(ChatPrompt, NamesInMessagesAreText) {
  const Vocab vocab;
  const Tokenizer tokenizer = vocab.tokenizer();
  const TokenId bos = *vocab.v.bos;
  EXPECT_EQ(prompt_of(kSource, tokenizer, {{"user", "a"}}), joined({bos}, "a", {vocab.end}));
  for (const char* text : {"<|end|>", "x<|end|>y", "<|end|>>", "<<|end|><s>", "|end|<s><s>",
                           "\xE2\x82\xAC", "a\xE2\x82\xAC<s>"}) {
    EXPECT_EQ(prompt_of(kSource, tokenizer, {{"user", text}}), joined({bos}, text, {vocab.end}))
        << text;
  }
  EXPECT_EQ(prompt_of(kSource, tokenizer, {{"user", "  <s>  "}}),
            joined({bos}, "<s>", {vocab.end}));
}

// A message cannot become a name together with what stands around it, but the template's own names
// are found right before and behind it.
TEST(ChatPrompt, NamesOfTheTemplateAreFoundBesideAMessage) {
  const Vocab vocab;
  const Tokenizer tokenizer = vocab.tokenizer();
  const auto source = "<|end|>{{ messages[0].content }}<|end|>";
  EXPECT_EQ(prompt_of(source, tokenizer, {{"user", "<s>"}}),
            joined({vocab.end}, "<s>", {vocab.end}));
}

// Who speaks is no way around that, nor does a name hide a mark.
TEST(ChatPrompt, NamesOfSpeakersAreShownAsText) {
  const Vocab vocab;
  const Tokenizer tokenizer = vocab.tokenizer();
  const auto source = "{{ messages[0].name }}<|end|>{{ messages[1].name is defined }}";
  for (const char* name : {"Ann", "<|end|>", "<s>\xEF\xB7\x90<s>"}) {
    EXPECT_EQ(prompt_of(source, tokenizer, {{"user", "x", name}, {"user", "y"}}),
              joined(joined({}, name, {vocab.end}), "False"))
        << name;
  }
}

TEST(ChatPrompt, MarksAreNotConfusedWithWhatMessagesHold) {
  const Vocab vocab;
  const Tokenizer tokenizer = vocab.tokenizer();
  const std::string text = "\xEF\xB7\x90<s>\xEF\xB7\x91";  // the first two noncharacters
  EXPECT_EQ(prompt_of(kSource, tokenizer, {{"user", text}}),
            joined({*vocab.v.bos}, text, {vocab.end}));
  std::string all;
  for (int c = 0x90; c <= 0xAF; ++c) all += std::string("\xEF\xB7") + static_cast<char>(c);
  const auto chat = ChatTemplate::parse(kSource);
  const std::vector<ChatMessage> messages{{"user", all}};
  const auto refused = chat_prompt(*chat, tokenizer, messages);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().to_string(), HasSubstr("noncharacters"));
}

// Where its content ends, whatever the template has behind it; a template that trims shows less.
TEST(ChatPrompt, EndsWithinTheLastMessageWhereItIsContinued) {
  const Vocab vocab;
  const Tokenizer tokenizer = vocab.tokenizer();
  const TokenId bos = *vocab.v.bos;
  const ChatPromptOptions options{.add_generation_prompt = false, .continue_final_message = true};
  const auto prompt = [&](std::string_view source, const std::string& content) {
    return prompt_of(source, tokenizer, {{"user", "a"}, {"assistant", content}}, options);
  };
  constexpr std::string_view kWhole =
      "{{ bos_token }}{% for m in messages %}{{ m.content }}<|end|>{% endfor %}b{{ "
      "messages[0].content }}";
  const std::vector<TokenId> begun = joined({bos}, "a", {vocab.end});
  for (const char* content :
       {"b", "e", "<|end|>", "x<|end|>", "\xE2\x82\xAC", "\xE2\x82\xAC\xE2\x82\xAC", " b"}) {
    EXPECT_EQ(prompt(kWhole, content), joined(begun, content)) << content;
    EXPECT_EQ(prompt(kSource, content), joined(begun, content[0] == ' ' ? "b" : content));
  }
  EXPECT_EQ(prompt(kWhole, "b \n"), joined(begun, "b \n"));
  EXPECT_EQ(prompt(kSource, "b \n"), joined(begun, "b"));
  EXPECT_EQ(prompt(kSource, "b \xE3\x80\x80"), joined(begun, "b"));  // as what trims has it
  EXPECT_EQ(prompt("{{ add_generation_prompt }}{{ messages[1].content }}", "b"),
            joined({}, "Falseb"));
  const auto refused = [&](std::string_view source, const std::vector<ChatMessage>& messages) {
    const auto chat = ChatTemplate::parse(source);
    const auto made = chat_prompt(*chat, tokenizer, messages, options);
    EXPECT_FALSE(made.ok());
    return made ? "" : made.error().to_string();
  };
  const std::string hidden = refused("{{ messages[0].content }}", {{"user", "a"}, {"user", "b"}});
  EXPECT_THAT(hidden, HasSubstr("shows the whole content of the last message"));
  constexpr std::string_view kThoughtless = "{{ messages[-1].content.split('</t>')[-1] | trim }}";
  EXPECT_EQ(prompt(kThoughtless, " b "), joined({}, "b"));
  EXPECT_THAT(refused(kThoughtless, {{"user", "a</t>b"}}), HasSubstr("shows the whole content"));
  EXPECT_THAT(refused(kThoughtless, {{"user", "a</t>"}}), HasSubstr("shows the whole content"));
  EXPECT_THAT(refused(kSource, {{"user", " \n"}}), HasSubstr("content to continue, found none"));
  EXPECT_THAT(refused(kSource, {{"user", ""}}), HasSubstr("content to continue, found none"));
  EXPECT_THAT(refused(kSource, {}), HasSubstr("content to continue, found none"));
}

TEST(ChatPrompt, AddsNothingOfItsOwn) {
  Vocab vocab;
  vocab.v.add_bos = true;
  vocab.v.add_eos = true;
  vocab.v.eos = vocab.end;
  const Tokenizer tokenizer = vocab.tokenizer();
  EXPECT_EQ(prompt_of("{{ eos_token }}{{ tools is none }}{{ add_generation_prompt }}", tokenizer,
                      {{"user", "x"}}),
            joined({vocab.end}, "TrueTrue"));
  const auto chat = ChatTemplate::parse("{{ raise_exception('no') }}");
  EXPECT_FALSE(chat_prompt(*chat, tokenizer, {}).ok());
}

TEST(NamedTemplates, AreKnownByTheirTokens) {
  const Tokenizer tokenizer = Vocab().tokenizer();
  EXPECT_EQ(find_named_template("nothing"), nullptr);
  for (const NamedTemplate& named : named_templates()) {
    EXPECT_EQ(find_named_template(named.name), &named);
    EXPECT_EQ(check_tokens(named, tokenizer).ok(), named.tokens.empty()) << named.name;
    EXPECT_TRUE(ChatTemplate::parse(named.source).ok()) << named.name;
  }
  Vocab vocab;
  add_token(vocab.v, "<|eot_id|>", TokenKind::kControl);
  EXPECT_TRUE(check_tokens(*find_named_template("bitnet"), vocab.tokenizer()).ok());
}

TEST(NamedTemplates, RenderAsTheModelsWereTrained) {
  Vocab vocab;
  const TokenId eot = add_token(vocab.v, "<|eot_id|>", TokenKind::kControl);
  const TokenId start = add_token(vocab.v, "<|im_start|>", TokenKind::kControl);
  const TokenId im_end = add_token(vocab.v, "<|im_end|>", TokenKind::kControl);
  const TokenId head = add_token(vocab.v, "<|start_header_id|>", TokenKind::kControl);
  const TokenId head_end = add_token(vocab.v, "<|end_header_id|>", TokenKind::kControl);
  const Tokenizer tokenizer = vocab.tokenizer();
  const TokenId bos = *vocab.v.bos;
  const std::vector<ChatMessage> talk{{"system", "S "}, {"user", "U"}};
  const auto named = [&](std::string_view name) {
    return prompt_of(find_named_template(name)->source, tokenizer, talk);
  };
  EXPECT_EQ(named("bitnet"),
            joined(joined(joined({bos}, "System: S", {eot}), "User: U", {eot}), "Assistant: "));
  EXPECT_EQ(named("chatml"),
            joined(joined(joined(joined(joined({start}, "system\nS ", {im_end}), "\n", {start}),
                                 "user\nU", {im_end}),
                          "\n", {start}),
                   "assistant\n"));
  auto llama = joined(joined({bos, head}, "system", {head_end}), "\n\nS", {eot, head});
  llama = joined(joined(std::move(llama), "user", {head_end}), "\n\nU", {eot, head});
  EXPECT_EQ(named("llama3"), joined(joined(std::move(llama), "assistant", {head_end}), "\n\n"));
  EXPECT_EQ(named("plain"), joined({bos}, "S\n\nUser: U\nAssistant:"));
}

}  // namespace
}  // namespace tern::text
