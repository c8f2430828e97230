// The bodies of chats: their messages, and what the template makes of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "serve/read_requests.h"

namespace tern::serve {
namespace {

// A template that is named brings stops where its turns end without a token.
TEST(ChatRequest, StopsOfTheTemplateJoinThoseOfTheRequest) {
  ServedModel model = served();
  model.chat_stops = {"\nUser:"};
  const auto body =
      boost::json::parse(R"({"messages": [{"role": "user", "content": "Hello"}], "stop": "!"})");
  const CompletionRequest read = good(read_chat_request(body.get_object(), model, defaults()));
  EXPECT_EQ(read.answer.stops, (std::vector<std::string>{"!", "\nUser:"}));
}

TEST(ChatRequest, ChatsHaveTheirOwn) {
  EXPECT_EQ(good(chat(R"("max_tokens": 3)")).answer.max_tokens, 3u);
  EXPECT_EQ(good(chat(R"("max_tokens": 3, "max_completion_tokens": 4)")).answer.max_tokens, 4u);
  EXPECT_TRUE(good(chat("")).chat);
  good(chat(
      R"("tool_choice": "none", "modalities": ["text"], "response_format": {"type": "text"})"));
  good(chat(R"("function_call": "none")"));
  EXPECT_EQ(bad(chat(R"("function_call": "f")")).code, "unsupported_parameter");
  EXPECT_EQ(bad(chat(R"("tool_choice": "auto", "tools": [1])")).param, "tools");
  EXPECT_EQ(words(chat(R"("modalities": ["text", "audio"])")),
            "modalities: this model gives text only");
  for (const char* format :
       {R"({"type": "json_object"})", "{}", R"({"kind": "text"})", R"({"type": "text", "a": 1})"}) {
    EXPECT_EQ(words(chat(std::string(R"("response_format": )") + format)),
              "response_format: not supported by this server but for text; leave it out");
  }
  EXPECT_EQ(words(chat(R"("top_logprobs": 2)")),
            "top_logprobs: expected logprobs to be true beside it, found it not");
  EXPECT_EQ(good(chat(R"("logprobs": true, "top_logprobs": 2)")).answer.logprobs, 2u);
  EXPECT_EQ(words(chat_of("null")), "messages: expected an array, found nothing");
}

TEST(ChatRequest, MessagesAreOfText) {
  const auto message = [](const std::string& members) { return chat_of("[{" + members + "}]"); };
  const auto content = [&](const std::string& value) {
    return message(R"("role": "user", "content": )" + value);
  };
  const auto text = [](const CompletionRequest& r) {
    return served().tokenizer.decode(r.prompts.at(0));
  };
  EXPECT_THAT(
      text(good(content(R"([{"type": "text", "text": "On"}, {"type": "text", "text": "ce"}])"))),
      ::testing::EndsWith("Once"));
  EXPECT_THAT(text(good(message(
                  R"("role": "developer", "content": "Once", "name": "x", "refusal": null)"))),
              ::testing::EndsWith("system: Once"));
  EXPECT_EQ(words(chat_of("[]")), "messages: expected at least one, found none");
  EXPECT_EQ(words(chat_of("[3]")), "messages[0]: expected an object, found an integer");
  EXPECT_EQ(words(message(R"("role": "king", "content": "x")")),
            "messages[0].role: expected system, developer, user, assistant or tool, found "
            "\"king\"");
  EXPECT_EQ(words(message(R"("role": "user")")),
            "messages[0].content: expected a string or an array of parts, found nothing");
  EXPECT_EQ(words(content("null")),
            "messages[0].content: expected a string or an array of parts, found nothing");
  for (const char* nothing : {R"("content": "")", R"("content": null)", R"("name": null)"}) {
    EXPECT_THAT(text(good(message(std::string(R"("role": "assistant", )") + nothing))),
                ::testing::EndsWith("assistant: "));
  }
  EXPECT_EQ(words(content("3")),
            "messages[0].content: expected a string or an array of parts, found an integer");
  EXPECT_EQ(words(content("[3]")), "messages[0].content[0]: expected an object, found an integer");
  EXPECT_EQ(words(content(R"([{"text": "x"}])")),
            "messages[0].content[0].type: expected \"text\", found nothing");
  EXPECT_EQ(words(content(R"([{"type": "odd", "text": "x"}])")),
            "messages[0].content[0].type: expected \"text\", found \"odd\"");
  good(content(R"([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}])"));
  EXPECT_EQ(words(content(R"([{"type": "text"}])")),
            "messages[0].content[0].text: expected a string, found nothing");
  EXPECT_EQ(bad(content(R"([{"type": "image_url"}])")).code, "unsupported_media");
  EXPECT_EQ(words(message(R"("role": "user", "content": "x", "tool_calls": [1])")),
            "messages[0].tool_calls: not supported by this server; leave it out");
  EXPECT_EQ(words(message(R"("role": "assistant", "content": null, "tool_calls": [1])")),
            "messages[0].tool_calls: not supported by this server; leave it out");
  good(content('"' + std::string(34, 'a') + '"'));  // and "user: "
  EXPECT_EQ(words(content('"' + std::string(41, 'a') + '"')),
            "messages: a text of 41 bytes exceeds the available context size; shorten it");
}

TEST(ChatRequest, ATemplateThatShowsNothingMakesNoPrompt) {
  ServedModel model = served();
  model.chat_template = must(text::ChatTemplate::parse("{{ x }}"));
  const auto body = boost::json::parse(R"({"messages": [{"role": "user", "content": "Hello"}]})");
  EXPECT_EQ(words(read_chat_request(body.get_object(), model, defaults())),
            "messages: expected some that the template shows, found none");
}

// lm-evaluation-harness has a type beside each content.
TEST(ChatRequest, MessagesMayHaveTheirTypeAndAName) {
  ServedModel model = served();
  model.chat_template = must(text::ChatTemplate::parse("{{ messages[0].name }}!"));
  const auto named = [&](const std::string& members) {
    const auto body =
        boost::json::parse(R"({"messages": [{"role": "user", "content": "", )" + members + "}]}");
    return read_chat_request(body.get_object(), model, defaults());
  };
  const auto text = [&](const std::string& members) {
    return model.tokenizer.decode(good(named(members)).prompts.at(0), true);
  };
  EXPECT_EQ(text(R"("type": "text")"), "!");
  EXPECT_EQ(text(R"("type": "message", "name": null)"), "!");
  EXPECT_EQ(text(R"("type": null, "name": "Ann")"), "Ann!");
  EXPECT_EQ(words(named(R"("type": "image")")),
            "messages[0].type: expected \"text\" or \"message\", found \"image\"");
  EXPECT_EQ(words(named(R"("type": 5)")), "messages[0].type: expected a string, found 5");
  EXPECT_EQ(words(named(R"("name": 5)")), "messages[0].name: expected a string, found 5");
  EXPECT_EQ(bad(named(R"("name": ")" + std::string(41, 'x') + "\"")).code,
            "context_length_exceeded");
}

std::string names(int count) {
  std::string members = "{";
  for (int i = 0; i < count; ++i) {
    members.append(i == 0 ? "" : ",").append("\"n" + std::to_string(i) + "\": 1");
  }
  return members + "}";
}

TEST(ChatRequest, ATemplateHasSoManyArguments) {
  good(chat(R"("chat_template_kwargs": )" + names(64)));
  EXPECT_EQ(words(chat(R"("chat_template_kwargs": )" + names(65))),
            "chat_template_kwargs: expected at most 64 names, found 65");
}

// Where each name is looked for among all before it, this takes minutes.
TEST(ChatRequest, AnArgumentMayHaveManyNames) {
  const auto begin = std::chrono::steady_clock::now();
  good(chat(R"("chat_template_kwargs": {"a": )" + names(300'000) + "}"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(ChatRequest, WhatIsBeyondTheContextIsNotRead) {
  const auto messages = [](int count) {
    std::string all = R"([{"role": "user", "content": ""})";
    for (int i = 1; i < count; ++i) all += i < 100 ? R"(, {"role": "user", "content": ""})" : ", 1";
    return all + "]";
  };
  good(chat_of(messages(100)));
  const Read more = chat_of(messages(101));
  EXPECT_EQ(bad(more).code, "context_length_exceeded");
  EXPECT_EQ(words(more),
            "messages: a list of 101 exceeds the available context size of 100 tokens; shorten it");
  const auto tokens = [](int count) {
    std::string all = "5";
    for (int i = 1; i < count; ++i) all += i < 100 ? ", 5" : ", -1";
    return "[[5], [" + all + "]]";
  };
  const std::string one = R"("max_tokens": 0)";
  EXPECT_THAT(words(completion(one, tokens(100))), testing::HasSubstr("100 of the prompt and 1"));
  EXPECT_EQ(bad(completion(one, tokens(101))).code, "context_length_exceeded");
  EXPECT_EQ(words(completion(one, tokens(101))),
            "prompt[1]: 101 tokens, but this model's maximum context length is 100 tokens; shorten "
            "it");
}

TEST(ChatRequest, ATemplateMakesNoMoreThanTheContextMayHold) {
  ServedModel model = served();
  model.chat_template = must(text::ChatTemplate::parse("{{ x }}"));
  const auto made = [&](std::size_t bytes) {
    const auto body = boost::json::parse(R"({"messages": [{"role": "user", "content": ""}], )"
                                         R"("chat_template_kwargs": {"x": ")" +
                                         std::string(bytes, 'x') + "\"}}");
    return read_chat_request(body.get_object(), model, defaults());
  };
  good(made(40));
  EXPECT_EQ(bad(made(41)).code, "context_length_exceeded");
  EXPECT_EQ(words(made(41)),
            "chat template: a prompt of 41 bytes exceeds the available context size; shorten it");
}

TEST(ChatRequest, ChatsNeedATemplateThatKeepsToItsLimits) {
  const auto answer = [](std::optional<text::ChatTemplate> chat_template) {
    ServedModel model = served();
    model.chat_template = std::move(chat_template);
    const auto body = boost::json::parse(R"({"messages": [{"role": "user", "content": "Hello"}]})");
    return bad(read_chat_request(body.get_object(), model, defaults()));
  };
  EXPECT_EQ(answer(std::nullopt).code, "no_chat_template");
  const ApiError endless =
      answer(must(text::ChatTemplate::parse("{% for i in range(9999) %}{% for j in range(9999) "
                                            "%}{{ messages }}{% endfor %}{% endfor %}")));
  EXPECT_EQ(endless.status, 400u) << endless.message;
  EXPECT_EQ(endless.type, "invalid_request_error");
  EXPECT_EQ(endless.param, "messages");
}

TEST(ChatRequest, ATemplateTakesTheTimeOfTheRequestForNow) {
  ServedModel model = served();
  model.chat_template = must(text::ChatTemplate::parse("{{ strftime_now('%Y') }}"));
  CompletionDefaults d = defaults();
  d.created = 325'000'000;  // in April of 1980
  const auto body =
      boost::json::parse(R"({"messages": [{"role": "user", "content": "What day is it?"}]})");
  const CompletionRequest r = good(read_chat_request(body.get_object(), model, d));
  EXPECT_EQ(r.created, 325'000'000);
  EXPECT_EQ(model.tokenizer.decode(r.prompts.at(0)), "1980");
}

}  // namespace
}  // namespace tern::serve
