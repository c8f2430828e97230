// tokenizer.json: what is refused, each in its own words.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "convert/vocabulary.h"
#include "core/json.h"

namespace tern::convert {
namespace {

constexpr const char* kGood = R"({
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
  "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})";

// What is said of the good file with `text` as the member `key` of `parent`, itself a member of the
// file ("": the file). null is as if there were none.
std::string outcome(const std::string& parent, const char* key, const std::string& text,
                    const SpecialNames& names = {"<s>", ""}) {
  auto file = parse_json(kGood);
  const auto value = parse_json(text);
  if (!file || !value) return "no JSON: " + text;
  boost::json::object& object = file->as_object();
  (parent.empty() ? object : object[parent].as_object())[key] = *value;
  const auto read = read_tokenizer_json(object, names, 64, "file");
  return read.ok() ? "accepted" : read.error().to_string();
}
std::string model(const char* key, const std::string& text) { return outcome("model", key, text); }
std::string added(const std::string& text) { return outcome("", "added_tokens", text); }
std::string post(const std::string& text, const SpecialNames& names = {"<s>", ""}) {
  return outcome("", "post_processor", text, names);
}

TEST(TokenizerJsonRefusals, Models) {
  EXPECT_EQ(outcome("", "model", "null"), "file: model: expected an object, found nothing");
  EXPECT_EQ(outcome("", "model", "3"), "file: model: expected an object, found 3");
  EXPECT_EQ(model("type", "\"WordPiece\""),
            "file: model: type: expected 'BPE' or 'Unigram', found 'WordPiece'");
  // SentencePiece's BPE, and this is no pre-tokenizer of it.
  EXPECT_TRUE(model("byte_fallback", "true")
                  .starts_with("file: pre_tokenizer: expected Metaspace or none, found "));
  EXPECT_EQ(model("byte_fallback", "false"), "accepted");
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    for (const char* off : {"null", "\"\"", "0.0"}) EXPECT_EQ(model(key, off), "accepted") << key;
    for (const char* on : {"\"x\"", "5E-1", "0", "true"}) {
      EXPECT_EQ(model(key, on),
                std::string("file: model: ") + key + ": expected nothing, found " + on);
    }
  }
}

TEST(TokenizerJsonRefusals, Tokens) {
  EXPECT_EQ(model("vocab", "[]"), "file: model: vocab: expected an object, found []");
  EXPECT_EQ(model("vocab", "{}"), "file: model: vocab: expected tokens, found none");
  for (const char* id : {"\"x\"", "-1", "64", "1E0", "null"}) {
    EXPECT_EQ(model("vocab", std::string(R"({"a": )") + id + "}"),
              std::string("file: model: vocab: expected an id for 'a' below 64, the vocab_size of "
                          "config.json, found ") +
                  id);
  }
  EXPECT_EQ(model("vocab", R"({"a": 1, "b": 1})"),
            "file: model: vocab: the id 1 of 'b' is another token's, too");
}

TEST(TokenizerJsonRefusals, Merges) {
  EXPECT_EQ(model("merges", "null"), "file: model: merges: expected a list, found nothing");
  EXPECT_EQ(model("merges", "{}"), "file: model: merges: expected a list, found {}");
  EXPECT_EQ(model("merges", R"([["a","b"],"a b"])"), "accepted");
  for (const char* merge : {"3", R"(["a"])", R"(["a","b","c"])", R"(["a",3])", R"([3,"a"])"}) {
    EXPECT_EQ(model("merges", std::string("[") + merge + "]"),
              std::string("file: model: merges: expected two tokens a merge, found ") + merge);
  }
}

TEST(TokenizerJsonRefusals, AddedTokens) {
  const std::string at = "file: added_tokens: ";
  EXPECT_EQ(outcome("", "added_tokens", "null", {}), "accepted");
  EXPECT_EQ(added("3"), at + "expected a list, found 3");
  EXPECT_EQ(added("[3]"), at + "expected objects, found 3");
  EXPECT_EQ(added(R"([{"id": 3}])"), at + "content: expected a text, found nothing");
  for (const char* id : {"\"x\"", "-1", "64", "1E0", "0E0"}) {
    EXPECT_EQ(
        added(std::string(R"([{"content": "<s>", "id": )") + id + "}]"),
        at + "id: expected an id for '<s>' below 64, the vocab_size of config.json, found " + id);
  }
  EXPECT_EQ(
      added(R"([{"content": "<s>"}])"),
      at + "id: expected an id for '<s>' below 64, the vocab_size of config.json, found nothing");
  EXPECT_EQ(added(R"([{"content": "<s>", "id": 3}, {"content": "a", "id": 0}])"), "accepted");
  EXPECT_EQ(added(R"([{"content": "a", "id": 7}])"), at + "id: 'a' has the ids 0 and 7");
  for (const char* key : {"lstrip", "rstrip", "single_word"}) {
    const std::string entry = std::string(R"([{"content": "<s>", "id": 3, ")") + key + "\": ";
    EXPECT_EQ(added(entry + "false}]"), "accepted");
    EXPECT_EQ(added(entry + "true}]"), at + key +
                                           ": the token '<s>' takes more of the text than its "
                                           "name, which is not supported");
  }
  EXPECT_EQ(outcome("", "normalizer", "null", {"<x>", ""}),
            at + "the special token '<x>' of tokenizer_config.json is no token");
}

TEST(TokenizerJsonRefusals, WhatIsPutBeforeAndBehindATexts) {
  const std::string at = "file: post_processor: ";
  EXPECT_EQ(post("3"), "file: post_processor: expected an object, found 3");
  EXPECT_EQ(post(R"({"type": "ByteLevel"})"), "accepted");
  EXPECT_EQ(post(R"({"type": "BertProcessing", "single": []})"),
            at + "type: expected ByteLevel, TemplateProcessing or Sequence, found "
                 "'BertProcessing'");
  EXPECT_EQ(post(R"({"type": "Sequence"})"), at + "processors: expected a list, found nothing");
  const auto single = [](const std::string& step, const SpecialNames& names = {"<s>", ""}) {
    return post(R"({"type": "TemplateProcessing", "single": [)" + step + "]}", names);
  };
  for (const char* step : {"3", "{}", R"({"SpecialToken":3})", R"({"SpecialToken":{}})",
                           R"({"SpecialToken":{"id":3}})"}) {
    EXPECT_EQ(single(step), at + "single: expected a SpecialToken or a Sequence, found " + step);
  }
  const auto token = [](const std::string& name) {
    return R"({"SpecialToken":{"id":")" + name + "\"}}";
  };
  const std::string once = at + "single: expected the BOS token once, found ";
  EXPECT_EQ(single(token("<s>")), "accepted");
  EXPECT_EQ(single(token("zz")), once + "'zz'");
  EXPECT_EQ(single(token("a")), once + "'a'");
  EXPECT_EQ(single(token("a"), {}), once + "'a'");
  EXPECT_EQ(single(token("<s>") + "," + token("<s>")), once + "'<s>'");
}

}  // namespace
}  // namespace tern::convert
