// The bodies of completions and chats: what is read, what is refused and in which words.
#include "serve/request_fields.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "serve/read_requests.h"
#include "serve/token_requests.h"

namespace tern::serve {
namespace {

using ::testing::ElementsAre;

TEST(RequestFields, DefaultsAreThoseOfOpenAi) {
  const CompletionRequest r = good(completion());
  EXPECT_EQ(r.answer.max_tokens, 16u);
  EXPECT_EQ(r.answer.sampling.temperature, 1.0f);
  EXPECT_EQ(r.answer.sampling.top_p, 1.0f);
  EXPECT_EQ(r.answer.sampling.min_p, 0.0f);
  EXPECT_EQ(r.answer.sampling.top_k, 0u);
  EXPECT_EQ(r.answer.sampling.repeat_penalty, 1.0f);
  EXPECT_EQ(r.answer.sampling.seed, 77u);
  EXPECT_FALSE(r.answer.ignore_end);
  EXPECT_FALSE(r.answer.logprobs);
  EXPECT_FALSE(r.stream);
  EXPECT_FALSE(r.deadline);
  EXPECT_EQ(r.choices, 1u);
  EXPECT_EQ(r.priority, 0);
  EXPECT_THAT(r.echoes, ElementsAre(""));
  EXPECT_EQ(good(chat("")).answer.max_tokens, 9u);
}

TEST(RequestFields, NumbersHaveRanges) {
  struct Range {
    std::string name, kind, least, most, below, above;
  };
  const Range ranges[] = {
      {"temperature", "a number", "0", "2", "-0.5", "2.5"},
      {"top_p", "a number", "0", "1", "-0.5", "1.5"},
      {"min_p", "a number", "0", "1", "-0.5", "1.5"},
      {"repetition_penalty", "a number", "0.01", "100", "0", "101"},
      {"presence_penalty", "a number", "-2", "2", "-2.5", "2.5"},
      {"frequency_penalty", "a number", "-2", "2", "-2.5", "2.5"},
      {"top_k", "an integer", "-1", "1048576", "-2", "1048577"},
      {"n", "an integer", "1", "128", "0", "129"},
      {"priority", "an integer", "-100", "5", "-101", "6"},
      {"deadline_ms", "an integer", "1", "86400000", "0", "86400001"},
      {"max_tokens", "an integer", "-1", "2147483648", "-2", "2147483649"},
      {"logprobs", "an integer", "0", "20", "-1", "21"},
  };
  for (const Range& r : ranges) {
    const std::string expected =
        r.name + ": expected " + r.kind + " from " + r.least + " to " + r.most + ", found ";
    const auto with = [&](const std::string& value) {
      return completion("\"" + r.name + "\": " + value);
    };
    for (const std::string& value : {r.below, r.above}) {
      EXPECT_EQ(words(with(value)).substr(0, expected.size()), expected) << r.name << value;
    }
    EXPECT_EQ(words(with("\"x\"")), expected + "a string");
    EXPECT_EQ(words(with("true")), expected + "true");
    EXPECT_EQ(words(with("{}")), expected + "an object");
    EXPECT_EQ(words(with("[1]")), expected + "an array");
    for (const std::string& value : {r.least, r.most}) {
      const std::string message = words(with(value));  // too many answers, perhaps, or tokens
      EXPECT_EQ(message.find(expected), std::string::npos) << message;
    }
  }
}

TEST(RequestFields, ValuesAreReadWhereTheyBelong) {
  const CompletionRequest r = good(completion(
      R"("temperature": 0.5, "top_p": 0.25, "min_p": 0.125, "top_k": 3, "presence_penalty": -1,
         "repetition_penalty": 1.5, "frequency_penalty": 2, "n": 2.0, "priority": -3,
         "deadline_ms": 1500, "max_tokens": 7, "ignore_eos": true, "echo": true)"));
  EXPECT_EQ(r.answer.sampling.temperature, 0.5f);
  EXPECT_EQ(r.answer.sampling.top_p, 0.25f);
  EXPECT_EQ(r.answer.sampling.min_p, 0.125f);
  EXPECT_EQ(r.answer.sampling.top_k, 3u);
  EXPECT_EQ(good(completion(R"("top_k": -1)")).answer.sampling.top_k, 0u);
  EXPECT_EQ(r.answer.sampling.presence_penalty, -1.0f);
  EXPECT_EQ(r.answer.sampling.repeat_penalty, 1.5f);
  EXPECT_EQ(r.answer.sampling.frequency_penalty, 2.0f);
  EXPECT_EQ(r.choices, 2u);
  EXPECT_EQ(r.priority, -3);
  EXPECT_EQ(r.deadline, std::chrono::milliseconds(1500));
  EXPECT_EQ(r.answer.max_tokens, 7u);
  EXPECT_TRUE(r.answer.ignore_end);
  EXPECT_THAT(r.echoes, ElementsAre("Once"));
  const auto greedy = good(completion(R"("top_p": 0)")).answer.sampling;  // the best token alone
  EXPECT_EQ(greedy.temperature, 0.0f);
  EXPECT_EQ(greedy.top_p, 1.0f);
}

TEST(RequestFields, SeedsAreAnySixtyFourBits) {
  const auto seed = [](const std::string& value) {
    return good(completion("\"seed\": " + value)).answer.sampling.seed;
  };
  EXPECT_EQ(seed("5"), 5u);
  EXPECT_EQ(seed("-1"), ~std::uint64_t{0});
  EXPECT_EQ(seed("18446744073709551615"), ~std::uint64_t{0});
  EXPECT_EQ(seed("null"), 77u);
  EXPECT_EQ(seed("1e19"), 10'000'000'000'000'000'000u);
  EXPECT_EQ(seed("-9223372036854775808"), std::uint64_t{1} << 63);
  const std::string expected =
      "seed: expected an integer from -9223372036854775808 to 18446744073709551615, found ";
  EXPECT_EQ(words(completion(R"("seed": 1.5)")), expected + "1.5");
  EXPECT_EQ(words(completion(R"("seed": "x")")), expected + "a string");
  EXPECT_EQ(bad(completion(R"("seed": 1.5)")).param, "seed");
}

TEST(RequestFields, StopsAreTexts) {
  const auto stops = [](const std::string& value) {
    return good(completion("\"stop\": " + value)).answer.stops;
  };
  EXPECT_THAT(stops(R"("!")"), ElementsAre("!"));
  EXPECT_THAT(stops(R"(["!", "?"])"), ElementsAre("!", "?"));
  EXPECT_EQ(stops('"' + std::string(1024, 'x') + '"').size(), 1u);
  std::string many = "\"1\"";
  for (int i = 0; i < 15; ++i) many += ", \"x\"";
  EXPECT_EQ(stops("[" + many + "]").size(), 16u);
  const auto refusal = [](const std::string& value) {
    return words(completion("\"stop\": " + value));
  };
  EXPECT_EQ(refusal("[" + many + ", \"y\"]"), "stop: expected at most 16 texts, found 17");
  EXPECT_THAT(stops(R"("")"), ElementsAre());
  EXPECT_THAT(stops(R"(["", "!"])"), ElementsAre("!"));
  EXPECT_EQ(refusal('"' + std::string(1025, 'x') + '"'),
            "stop: expected texts of at most 1024 bytes, found one of 1025");
  EXPECT_EQ(refusal("[3]"), "stop: expected texts of at most 1024 bytes, found an integer");
}

TEST(RequestFields, StopTokensAreOfTheVocabulary) {
  const std::size_t vocab = served().tokenizer.vocab_size();
  const auto with = [](const std::string& value) {
    return completion("\"stop_token_ids\": [" + value + "]");
  };
  EXPECT_THAT(good(with("5, 1")).answer.stop_tokens, ElementsAre(5, 1));
  EXPECT_THAT(good(with("")).answer.stop_tokens, ElementsAre());
  const std::string expected =
      "stop_token_ids: expected at most 16 ids of tokens below " + std::to_string(vocab);
  for (const std::string& value :
       {std::to_string(vocab), std::string("-1"), std::string("\"a\"")}) {
    EXPECT_EQ(words(with(value)), expected + ", found one that is none");
  }
  EXPECT_EQ(words(with("1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1")), expected + ", found 17");
}

// As llama.cpp has it; what the server has for requests without a number does not count.
TEST(RequestFields, NoNumberOfTokensIsAllThatFit) {
  CompletionDefaults d = defaults();
  const auto text = [&] {
    const auto body = boost::json::parse(R"({"prompt": "Once", "max_tokens": -1})");
    return good(read_completion_request(body.get_object(), served(), d));
  };
  const auto chat_of = [&](const char* name) {
    const auto body = boost::json::parse(
        std::string(R"({")") + name + R"(": -1, "messages": [{"role": "user", "content": "a"}]})");
    return good(read_chat_request(body.get_object(), served(), d));
  };
  EXPECT_EQ(text().answer.max_tokens, std::nullopt);
  EXPECT_FALSE(text().names_length);
  EXPECT_EQ(chat_of("max_tokens").answer.max_tokens, std::nullopt);
  EXPECT_EQ(chat_of("max_completion_tokens").answer.max_tokens, std::nullopt);
  d.most_tokens = 99;  // more than fits beside the prompt, which is no reason to refuse it
  EXPECT_EQ(text().answer.max_tokens, 99u);
  d.most_tokens = 7;
  EXPECT_EQ(text().answer.max_tokens, 7u);
  EXPECT_EQ(chat_of("max_tokens").answer.max_tokens, 7u);
}

TEST(RequestFields, WhatChangesNoAnswerIsTaken) { good(completion(R"("cache_prompt": true)")); }

TEST(RequestFields, HowAnAnswerMayEnd) {
  const auto plain = good(completion(R"("min_tokens": null)")).answer;
  EXPECT_EQ(plain.min_tokens, 0u);
  EXPECT_EQ(plain.shown_stops, 0u);
  const auto answer = good(completion(R"("min_tokens": 4, "max_tokens": 4, "stop": ["x", "", "y"],
                                          "include_stop_str_in_output": true)"))
                          .answer;
  EXPECT_EQ(answer.min_tokens, 4u);
  EXPECT_EQ(answer.shown_stops, 2u);
  EXPECT_EQ(words(completion(R"("min_tokens": 5, "max_tokens": 4)")),
            "min_tokens: expected at most 4, which is all that the answer may have here, found 5");
  EXPECT_EQ(bad(completion(R"("min_tokens": 17)")).param, "min_tokens");  // of 16, the default
  EXPECT_EQ(good(chat(R"("min_tokens": 17, "max_tokens": 17)")).answer.min_tokens, 17u);
  EXPECT_EQ(good(completion(R"("min_tokens": 17, "max_tokens": -1)")).answer.min_tokens, 17u);
  EXPECT_EQ(bad(completion(R"("min_tokens": 5000, "max_tokens": -1)")).code,
            "context_length_exceeded");
}

TEST(RequestFields, BiasIsOfTokensOfTheVocabulary) {
  const std::size_t vocab = served().tokenizer.vocab_size();
  const auto biases = [](const std::string& value) {
    return completion("\"logit_bias\": {" + value + "}");
  };
  const auto read = good(biases(R"("5": -100, "6": 100, "7": -99.5)")).answer.sampling.bias;
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0].token, 5);
  EXPECT_EQ(read[0].logit, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(read[1].logit, 100.0f);
  EXPECT_EQ(read[2].logit, -99.5f);
  good(biases(fmt::format("\"{}\": 1", vocab - 1)));
  for (const std::string& value :
       {fmt::format("\"{}\": 1", vocab), std::string(R"("x": 1)"), std::string(R"("5x": 1)"),
        std::string(R"("": 1)"), std::string(R"("-1": 1)"), std::string(R"("5": 100.5)"),
        std::string(R"("5": -100.5)"), std::string(R"("5": "1")")}) {
    const std::string expected = "logit_bias: expected ids of tokens below " +
                                 std::to_string(vocab) + " with numbers from -100 to 100, found ";
    EXPECT_EQ(words(biases(value)), expected + value.substr(0, value.find(':')));
  }
  std::string many;
  for (int i = 0; i < 1024; ++i) many += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\": 1";
  EXPECT_EQ(words(biases(many + ", \"x\": 1")),
            "logit_bias: expected at most 1024 tokens, found 1025");
  EXPECT_EQ(words(biases(many)).find("at most"), std::string::npos);
  const ApiError twice = bad(biases(R"("5": 1, "05": 2)"));
  EXPECT_EQ(twice.message, "logit_bias: expected each token once, found 5 twice");
  EXPECT_EQ(twice.param, "logit_bias");
}

TEST(RequestFields, ModelsAreThoseThatAreServed) {
  good(completion(R"("model": "tales")"));
  good(completion(R"("model": "other")"));
  const ApiError error = bad(completion(R"("model": "gpt")"));
  EXPECT_EQ(error.status, 404u);
  EXPECT_EQ(error.code, "model_not_found");
  EXPECT_EQ(error.message, "model: no model \"gpt\" here; this server has \"tales\"");
}

// What a client makes up does not make the reply, nor the log of who sends it, as long.
TEST(RequestFields, ErrorsRepeatTheBeginningOfLongTexts) {
  std::string x(79, 'x');
  const std::string cut = x + "...";
  x += "\u00e9" + std::string(100'000, 'y');  // the 80th byte is within a character
  const ApiError unknown = bad(completion("\"" + x + "\": 1"));
  EXPECT_EQ(unknown.message, cut + ": no such field; is it misspelled?");
  EXPECT_EQ(unknown.param, cut);
  EXPECT_EQ(words(completion(R"("model": ")" + x + "\"")),
            "model: no model \"" + cut + "\" here; this server has \"tales\"");
  EXPECT_THAT(words(completion(R"("logit_bias": {")" + x + "\": 1}")),
              ::testing::EndsWith("found \"" + cut + "\""));
  EXPECT_THAT(words(chat_of(R"([{"role": ")" + x + "\", \"content\": \"\"}]")),
              ::testing::EndsWith("found \"" + cut + "\""));
  for (const char* kind : {"", "image"}) {
    const std::string type = kind + x;
    EXPECT_LT(
        words(chat_of(R"([{"role": "user", "content": [{"type": ")" + type + "\"}]}]")).size(),
        200u);
  }
  EXPECT_LT(words(chat_of(R"([{"role": "user", "content": "", "type": ")" + x + "\"}]")).size(),
            200u);
}

// As other servers have them; what is so anyway may be asked for.
TEST(RequestFields, FieldsMayAskForWhatIsSoAnyway) {
  struct Case {
    std::string name, neutral, other;
  };
  for (const Case& c : {Case{"skip_special_tokens", "true", "false"},
                        Case{"skip_special_tokens", "null", "0"},
                        Case{"spaces_between_special_tokens", "true", "false"},
                        Case{"detokenize", "true", "0"},
                        Case{"return_tokens_as_token_ids", "false", "true"},
                        Case{"return_token_ids", "false", "0"},
                        Case{"use_beam_search", "false", "true"},
                        Case{"early_stopping", "false", "true"},
                        Case{"length_penalty", "1", "1.5"},
                        Case{"length_penalty", "1.0", "true"},
                        Case{"typical_p", "1", "0.5"},
                        Case{"mirostat", "0", "2"},
                        Case{"mirostat", "-0.0", "false"},
                        Case{"dry_multiplier", "0.0", "0.8"},
                        Case{"xtc_probability", "0", "0.1"},
                        Case{"dynatemp_range", "0", "1"},
                        Case{"n_keep", "0", "-1"},
                        Case{"id_slot", "-1.0", "0"},
                        Case{"timings_per_token", "false", "true"},
                        Case{"return_progress", "false", "true"},
                        Case{"post_sampling_probs", "false", "true"},
                        Case{"bad_words", "[]", R"(["x"])"},
                        Case{"grammar", R"("")", R"("root ::= x")"}}) {
    const auto member = [&](const std::string& value) { return "\"" + c.name + "\": " + value; };
    good(completion(member(c.neutral)));
    good(chat(member(c.neutral)));
    EXPECT_EQ(words(completion(member(c.other))),
              c.name + ": not supported by this server; leave it out");
    EXPECT_EQ(bad(chat(member(c.other))).code, "unsupported_parameter");
  }
  good(chat(R"("tool_choice": "auto", "tools": [])"));
  EXPECT_EQ(bad(chat(R"("tool_choice": "required")")).code, "unsupported_parameter");
  EXPECT_EQ(bad(chat(R"("tool_choice": {"type": "function"})")).code, "unsupported_parameter");
  good(chat(R"("tool_choice": "")"));
  good(completion(R"("cache_salt": "x", "include_reasoning": true)"));
  good(chat(R"("cache_salt": "x", "include_reasoning": true)"));
  // What a template would do of it is for chat_template_kwargs to say.
  EXPECT_EQ(bad(chat(R"("include_reasoning": false)")).code, "unsupported_parameter");
  EXPECT_EQ(bad(chat(R"("reasoning_effort": "none")")).code, "unsupported_parameter");
  for (const Case& c : {Case{"echo", "false", "true"}, Case{"add_special_tokens", "false", "true"},
                        Case{"function_call", R"("auto")", R"("f")"},

                        Case{"verbosity", R"("medium")", R"("low")"}}) {
    good(chat("\"" + c.name + "\": " + c.neutral));
    EXPECT_EQ(bad(chat("\"" + c.name + "\": " + c.other)).code, "unsupported_parameter") << c.name;
  }
  EXPECT_FALSE(good(chat(R"("top_logprobs": 0)")).answer.logprobs);
  EXPECT_FALSE(good(chat(R"("top_logprobs": 0, "logprobs": false)")).answer.logprobs);
}

TEST(RequestFields, OptionsOfAStreamWantAStream) {
  EXPECT_TRUE(good(completion(R"("stream": true)")).stream);
  const auto usage = [](const std::string& options) {
    return completion(R"("stream": true, "stream_options": )" + options);
  };
  EXPECT_TRUE(good(usage(R"({"include_usage": true})")).include_usage);
  EXPECT_FALSE(good(usage(R"({"include_obfuscation": true})")).include_usage);
  const std::string both = R"({"include_usage": true, "continuous_usage_stats": true})";
  EXPECT_TRUE(good(usage(both)).continuous_usage);
  EXPECT_FALSE(good(usage(R"({"include_usage": true})")).continuous_usage);
  EXPECT_EQ(words(usage(R"({"continuous_usage_stats": true})")),
            "stream_options.continuous_usage_stats: expected include_usage to be true beside it, "
            "found it not");
  EXPECT_EQ(words(usage(R"({"include": 1})")),
            "stream_options.include: no such field; is it misspelled?");
  EXPECT_EQ(words(usage("[]")), "stream_options: expected an object, found an array");
  EXPECT_EQ(words(completion(R"("stream_options": {"include_usage": true})")),
            "stream_options: expected stream to be true beside it, found it not");
  good(completion(R"("stream_options": {})"));
  good(completion(R"("stream_options": {"include_usage": false})"));
}

TEST(RequestFields, FieldsThatNobodyReadsAreRefused) {
  EXPECT_EQ(words(completion(R"("temprature": 1)")),
            "temprature: no such field; is it misspelled?");
  EXPECT_EQ(bad(completion(R"("temprature": 1)")).code, "unknown_parameter");
  good(completion(R"("temprature": null, "user": "me")"));
  good(completion(R"("suffix": [])"));
  good(completion(R"("suffix": false)"));
  good(completion(R"("suffix": "")"));
  for (const char* value : {"\"x\"", "[1]", "true"}) {
    EXPECT_EQ(words(completion(std::string("\"suffix\": ") + value)),
              "suffix: not supported by this server; leave it out");
  }
  good(completion(R"("best_of": 1)"));
  EXPECT_EQ(words(completion(R"("best_of": 2)")),
            "best_of: expected 1 or n (1), found 2: nothing is chosen from more than are given");
  EXPECT_EQ(bad(completion(R"("best_of": 2)")).code, "unsupported_parameter");
  EXPECT_EQ(good(completion(R"("best_of": 2, "n": 2)")).choices, 2u);  // all that are made
  EXPECT_EQ(bad(completion(R"("best_of": 3, "n": 2)")).code, "unsupported_parameter");
  // The first error is the one that is told.
  EXPECT_EQ(bad(completion(R"("model": "gpt", "top_p": 3)")).status, 404u);
}

TEST(RequestFields, PromptsAreTextsOrTokensOneOrSeveral) {
  const auto vocab = std::to_string(served().tokenizer.vocab_size());
  const auto last = std::to_string(served().tokenizer.vocab_size() - 1);
  const auto prompts = [](const std::string& value) { return good(completion("", value)).prompts; };
  EXPECT_THAT(prompts("[5, " + last + ", 0]"), ElementsAre(ElementsAre(5, std::stoi(last), 0)));
  EXPECT_EQ(prompts(R"(["a", "b"])").size(), 2u);
  EXPECT_EQ(prompts("[[5], [6]]").size(), 2u);
  EXPECT_EQ(prompts('"' + std::string(40, 'a') + '"').size(), 1u);
  const std::string expected = "prompt: expected a text, tokens, or 1 to 128 of them, found ";
  const auto found = [&](const std::string& value, const std::string& message) {
    EXPECT_EQ(words(completion("", value)), expected + message) << value;
  };
  found("[]", "0 prompts");
  const ApiError longer = bad(completion("", '"' + std::string(41, 'a') + '"'));
  EXPECT_EQ(longer.message,
            "prompt: a text of 41 bytes exceeds the available context size; shorten it");
  EXPECT_EQ(longer.code, "context_length_exceeded");
  found("3", "an integer");
  found("[[]]", "an empty one");
  found("[true]", "a boolean");
  for (const std::string& value :
       {"[" + vocab + "]", std::string("[-1]"), std::string("[1.5]"), std::string("[5, \"a\"]")}) {
    found(value, "a token that is none of 0 to " + last);
  }
  std::string many = "\"a\"";
  for (int i = 0; i < 127; ++i) many += ", \"a\"";
  EXPECT_EQ(words(completion("", "[" + many + "]")),
            "n: expected at most 6 answers in all, found 128");
  found("[" + many + ", \"a\"]", "129 prompts");
  EXPECT_EQ(words(completion("", "null")), "prompt: expected a text or tokens, found nothing");
}

TEST(RequestFields, SpecialTokensAreAddedUnlessTheyAreNotWanted) {
  const auto size = [](const std::string& members) {
    return good(completion(members)).prompts[0].size();
  };
  EXPECT_EQ(size(R"("add_special_tokens": true)"), size(""));
  const text::EncodeOptions none{.add_bos = false, .add_eos = false};
  EXPECT_EQ(size(R"("add_special_tokens": false)"), served().tokenizer.encode("Once", none).size());
  EXPECT_EQ(words(completion(R"("add_special_tokens": false)", R"("")")),
            "prompt: expected a text, tokens, or 1 to 128 of them, found an empty one");
}

TEST(RequestFields, EchoesHaveLogprobsOfPromptsButInStreams) {
  EXPECT_EQ(good(completion(R"("logprobs": 0)")).answer.logprobs, 0u);
  EXPECT_FALSE(good(completion(R"("logprobs": 3, "echo": false)")).prompt_logprobs);
  EXPECT_FALSE(good(completion(R"("echo": true, "stream": true)")).prompt_logprobs);
  EXPECT_TRUE(good(completion(R"("logprobs": 0, "echo": true)")).prompt_logprobs);
  EXPECT_EQ(words(completion(R"("logprobs": 0, "echo": true, "stream": true)")),
            "echo: not supported by this server beside logprobs in a stream; leave one of the "
            "three out");
}

TEST(RequestFields, TheContextHasRoomForPromptAndAnswer) {
  good(completion(R"("max_tokens": 97)", "[1, 2, 3]"));
  const ApiError error = bad(completion(R"("max_tokens": 98)", "[1, 2, 3]"));
  EXPECT_EQ(error.code, "context_length_exceeded");
  EXPECT_EQ(error.message,
            "this model's maximum context length is 100 tokens, but the request asks for 101: 3 of "
            "the prompt and 98 of the answer; shorten one of them");
  good(completion(R"("n": 6)"));
  EXPECT_EQ(words(completion(R"("n": 4)", "[[1], [2]]")),
            "n: expected at most 6 answers in all, found 8");
}

// What the operator gives a chat that names no number is no reason to refuse it.
TEST(RequestFields, TheDefaultOfAChatIsAsMuchAsThereIsRoomFor) {
  CompletionDefaults d = defaults();
  d.max_tokens = 99;
  const auto read = [&](const std::string& members) {
    const auto body = boost::json::parse(R"({"messages": [{"role": "user", "content": "Hello"}])" +
                                         members + "}");
    return read_chat_request(body.get_object(), served(), d);
  };
  const CompletionRequest r = good(read(""));
  const auto prompt = static_cast<std::uint32_t>(r.prompts[0].size());
  ASSERT_GT(prompt, 1u);
  EXPECT_EQ(r.answer.max_tokens, 100 - prompt);
  EXPECT_EQ(bad(read(R"(, "max_tokens": 99)")).code, "context_length_exceeded");
  EXPECT_EQ(bad(read(R"(, "max_completion_tokens": 99)")).code, "context_length_exceeded");
  d.context = prompt;
  EXPECT_EQ(bad(read("")).code, "context_length_exceeded");
}

TEST(RequestFields, WhatTheServerAllowsBoundsARequest) {
  using std::chrono::milliseconds;
  CompletionDefaults d = defaults();
  d.most_tokens = 7;
  d.most_time = milliseconds(2000);
  const auto read = [&](const std::string& members) {
    const auto body = boost::json::parse(R"({"prompt": "Once")" + members + "}");
    return read_completion_request(body.get_object(), served(), d);
  };
  EXPECT_EQ(good(read("")).answer.max_tokens, 7u);
  EXPECT_EQ(good(read(R"(, "max_tokens": 7)")).answer.max_tokens, 7u);
  EXPECT_EQ(words(read(R"(, "max_tokens": 8)")),
            "max_tokens: expected at most 7, which is the limit of this server (max-answer), found "
            "8; ask for fewer");
  EXPECT_EQ(good(read("")).deadline, milliseconds(2000));
  EXPECT_EQ(good(read(R"(, "deadline_ms": 1999)")).deadline, milliseconds(1999));
  EXPECT_EQ(good(read(R"(, "deadline_ms": 2001)")).deadline, milliseconds(2000));
  EXPECT_EQ(default_tokens(std::nullopt, d), 7u);
  EXPECT_EQ(default_tokens(5, d), 5u);
  EXPECT_EQ(default_tokens(std::nullopt, defaults()), std::nullopt);
}

// Even of no tokens: the engine computes what comes after a prompt.
TEST(RequestFields, APromptThatFillsTheContextIsRefusedByItsName) {
  std::string prompt = "[1";
  for (int i = 1; i < 100; ++i) prompt += ", 1";
  const ApiError error = bad(completion(R"("max_tokens": 0)", prompt + "]"));
  EXPECT_EQ(error.code, "context_length_exceeded");
  EXPECT_EQ(error.param, "prompt");
}

TEST(RequestFields, ABodyMayBeAsLongAsTheServerTakes) {
  const Answered body = parse_body(std::string(65u << 20, ' ') + R"({"a": 1})");
  ASSERT_TRUE(std::holds_alternative<boost::json::object>(body));
  EXPECT_EQ(std::get<boost::json::object>(body).at("a"), 1);
}

}  // namespace
}  // namespace tern::serve
