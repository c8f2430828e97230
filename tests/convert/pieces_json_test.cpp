// SentencePiece's models as tokenizer.json has them: those of tests/reference/data, written as
// Hugging Face writes them, give the tokens that the vocabularies themselves give.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <map>

#include "convert/tokenizer.h"
#include "convert/vocabulary.h"
#include "core/folder.h"
#include "core/json.h"
#include "format/gguf/gguf_file.h"
#include "support/escaped_text.h"
#include "support/temporary_directory.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace tern::convert {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using ::testing::HasSubstr;
using text::TokenKind;

const char* const kReplace = R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})";
const char* const kPrepend =
    R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},)"
    R"({"type":"Replace","pattern":{"String":" "},"content":"▁"}]})";

fs::path vocabulary_file(const std::string& name) {
  return fs::path(TERN_SOURCE_DIR) / "tests/reference/data" / (name + ".gguf");
}

// Every two tokens that make a third one, by its score and then by their ids.
json::array merges_of(std::span<const std::string_view> names, const text::Vocabulary& all) {
  std::map<std::string_view, std::size_t> ids;
  for (std::size_t i = 0; i < names.size(); ++i) ids.emplace(names[i], i);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (all.tokens[i].kind == TokenKind::kNormal) order.push_back(i);
  }
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return all.tokens[a].score > all.tokens[b].score;
  });
  json::array merges;
  for (const std::size_t token : order) {
    std::vector<std::pair<std::size_t, std::size_t>> pairs;
    for (std::size_t cut = 1; cut < names[token].size(); ++cut) {
      const auto left = ids.find(names[token].substr(0, cut));
      const auto right = ids.find(names[token].substr(cut));
      if (left != ids.end() && right != ids.end()) pairs.emplace_back(left->second, right->second);
    }
    std::ranges::sort(pairs);
    for (const auto& [left, right] : pairs) {
      merges.push_back(json::array{json::string_view(names[left].data(), names[left].size()),
                                   json::string_view(names[right].data(), names[right].size())});
    }
  }
  return merges;
}

json::object model_of(const format::GgufFile& file, const text::Vocabulary& all) {
  const auto names = *file.get_strings("tokenizer.ggml.tokens");
  const auto view = [&](std::size_t i) {
    return json::string_view(names[i].data(), names[i].size());
  };
  const bool bytes = std::ranges::any_of(
      all.tokens, [](const text::Token& token) { return token.kind == TokenKind::kByte; });
  json::object model{{"byte_fallback", bytes}};
  if (all.model == text::TokenizerModel::kUnigram) {
    json::array vocab;
    for (std::size_t i = 0; i < names.size(); ++i) {
      vocab.push_back(json::array{view(i), all.tokens[i].score});
    }
    model["type"] = "Unigram";
    model["vocab"] = std::move(vocab);
    model["unk_id"] = static_cast<std::int64_t>(*all.unknown);
    return model;
  }
  json::object vocab;
  for (std::size_t i = 0; i < names.size(); ++i) vocab[view(i)] = static_cast<std::int64_t>(i);
  model["type"] = "BPE";
  model["unk_token"] = view(static_cast<std::size_t>(*all.unknown));
  model["fuse_unk"] = true;
  model["vocab"] = std::move(vocab);
  model["merges"] = merges_of(names, all);
  return model;
}

// tokenizer.json of a vocabulary.
json::object tokenizer_json(const std::string& name) {
  const auto file = format::GgufFile::open(vocabulary_file(name));
  const auto all = text::read_vocabulary(*file);
  const auto names = *file->get_strings("tokenizer.ggml.tokens");
  json::array added;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const TokenKind kind = all->tokens[i].kind;
    if (kind != TokenKind::kControl && kind != TokenKind::kUnknown &&
        kind != TokenKind::kUserDefined) {
      continue;
    }
    // Behind a space of a text's own, those of the user are nothing that Tern reads.
    const bool special = kind != TokenKind::kUserDefined || all->add_space_prefix;
    added.push_back({{"id", static_cast<std::int64_t>(i)},
                     {"content", json::string_view(names[i].data(), names[i].size())},
                     {"special", special}});
  }
  return {{"added_tokens", std::move(added)},
          {"normalizer", *parse_json(all->add_space_prefix ? kPrepend : kReplace)},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"model", model_of(*file, *all)}};
}

class PiecesJson : public testing::TestWithParam<const char*> {};

TEST_P(PiecesJson, GiveTheTokensOfTheirModel) {
  const std::string name = GetParam();
  const test::TemporaryDirectory folder;
  std::ofstream(folder / "tokenizer.json") << json::serialize(tokenizer_json(name));
  format::GgufWriter writer;
  std::vector<std::string> read;
  const auto original = format::GgufFile::open(vocabulary_file(name));
  const auto all = text::read_vocabulary(*original);
  const auto count = all->tokens.size();
  const auto added = add_tokenizer(**open_folder(folder.path()), json::object(),
                                   static_cast<std::uint32_t>(count), writer, read);
  ASSERT_TRUE(added.ok()) << added.error().to_string();
  ASSERT_TRUE(writer.write(folder / "head.gguf").ok());
  const auto file = format::GgufFile::open(folder / "head.gguf");
  const auto made = text::Tokenizer::from_gguf(*file);
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  const auto expected = text::Tokenizer::from_gguf(*original);

  std::ifstream vectors(vocabulary_file(name).replace_extension(".txt"));
  std::string mode;
  std::string escaped;
  std::string ids;
  int texts = 0;
  for (; std::getline(vectors, mode, '\t') && std::getline(vectors, escaped, '\t') &&
         std::getline(vectors, ids);
       ++texts) {
    const std::string text = test::unescape(escaped);
    const bool named = std::ranges::any_of(all->tokens, [&](const text::Token& token) {
      return token.kind == TokenKind::kUserDefined &&
             (" " + text).find(token.bytes) != std::string::npos;
    });
    if (all->add_space_prefix && named) continue;
    const text::EncodeOptions options{.add_bos = false};
    ASSERT_EQ(made->encode(text, options), expected->encode(text, options)) << escaped;
  }
  EXPECT_GE(texts, 600);
}

INSTANTIATE_TEST_SUITE_P(All, PiecesJson,
                         testing::Values("spm_prefix", "spm_plain", "unigram_bytes",
                                         "unigram_unknown"),
                         [](const auto& each) { return std::string(each.param); });

// A vocabulary of few tokens; each case changes a part of it.
struct Parts {
  std::string normalizer = kReplace;
  std::string pre = "null";
  std::string merges = R"(["a b","ab c","a bc","b c"])";
  std::string more = {};  // members of the model
  std::string added = "[]";
  std::string vocab = {};  // more of it
};

std::string outcome(const Parts& parts) {
  const std::string text =
      R"({"added_tokens":)" + parts.added + R"(,"normalizer":)" + parts.normalizer +
      R"(,"pre_tokenizer":)" + parts.pre + R"(,"model":{"type":"BPE","byte_fallback":true)" +
      parts.more +
      R"(,"vocab":{"<unk>":0,"a":1,"b":2,"c":3,"ab":4,"abc":5,"bc":6,"▁":7,"a▁b":8,"▁b":9,)"
      R"("a▁":10)" +
      parts.vocab + R"(},"merges":)" + parts.merges + "}}";
  const auto value = parse_json(text);
  const auto read = read_tokenizer_json(value->get_object(), {}, 64, "file");
  return read.ok() ? "accepted" : read.error().to_string();
}

TEST(PiecesJsonRefusals, NameTheirReason) {
  const std::string space = R"(,"a ▁","▁ b","a▁ b","a ▁b")";
  const std::string all = R"(["a b","ab c","a bc","b c")" + space + "]";
  EXPECT_EQ(outcome({.merges = all}), "accepted");
  EXPECT_EQ(outcome({.pre = R"({"type":"Split","pattern":{"String":" "},"behavior":"x"})",
                     .merges = all}),
            "accepted");
  const std::string metaspace =
      R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false})";
  EXPECT_EQ(outcome({.normalizer = "null", .pre = metaspace, .merges = all}), "accepted");
  for (const auto& [parts, words] : std::vector<std::pair<Parts, std::string>>{
           {{.normalizer = R"({"type":"NFKC"})", .merges = all}, "U+2581 for each space with"},
           {{.normalizer = "null", .merges = all}, "by it or by the normalizer"},
           {{.pre = metaspace, .merges = all}, "expected Metaspace or none"},
           {{.normalizer = "null",
           .pre = R"({"type":"Metaspace","prepend_scheme":"first","split":false})",
           .merges = all},
            "a prepend_scheme of 'never'"},
           {{.normalizer = "null",
           .pre = R"({"type":"Metaspace","prepend_scheme":"never"})",
           .merges = all},
            "reaches over a space"},
           {{.merges = all, .more = R"(,"ignore_merges":true)"}, "as SentencePiece merges"},
           {{.merges = all, .more = R"(,"unk_token":"none")"}, "'none' is no token"},
           {{.merges = R"(["a b","ab c","b c")" + space + "]"}, "'a bc' is not there"},
           {{.merges = R"(["a b","ab c","b c","a bc")" + space + "]"}, "make 'abc' stand apart"},
           {{.normalizer = kPrepend,
           .merges = all,
           .added = R"([{"id":1,"content":"a","special":false}])"},
            "special: the token 'a' is not found where"},
           {{.normalizer = kPrepend,
           .merges = all,
           .added = R"([{"id":1,"content":"a","special":true,"normalized":true}])"},
            "normalized: the token 'a' is not found where"},
           {{.merges = all, .vocab = R"(,"xa":11)"}, "'x a' is not there"},
           {{.merges = all, .vocab = R"(,")" + std::string(1025, 'y') + R"(":11)"},
            "tokens of at most 1024 bytes, found 1025"},
           {{.merges = R"(["a b","a b"])"}, "'a b' is there twice"},
           {{.merges = R"(["a x"])"}, "two tokens that make a third one, found 'a x'"},
           {{.merges = R"(["b a"])"}, "two tokens that make a third one, found 'b a'"},
           {{.merges = R"(["ab"])"}, "two tokens that make a third one, found 'ab'"}}) {
    EXPECT_THAT(outcome(parts), HasSubstr(words));
  }
}

std::string unigram(const std::string& model) {
  const auto value = parse_json(R"({"normalizer":)" + std::string(kReplace) +
                                R"(,"model":{"type":"Unigram",)" + model + "}}");
  const auto read = read_tokenizer_json(value->get_object(), {}, 64, "file");
  return read.ok() ? "accepted" : read.error().to_string();
}

TEST(PiecesJsonRefusals, OfUnigramNameTheirReason) {
  EXPECT_EQ(unigram(R"("vocab":[["<unk>",0],["a",-1.5]],"unk_id":0)"), "accepted");
  EXPECT_THAT(unigram(R"("vocab":[])"), HasSubstr("expected a list of tokens with their scores"));
  EXPECT_THAT(unigram(R"("vocab":[["a"]])"), HasSubstr("expected a token and its score"));
  EXPECT_THAT(unigram(R"("vocab":[["a",1e300]])"), HasSubstr("expected a token and its score"));
  EXPECT_THAT(unigram(R"("vocab":[["a",-1]],"unk_id":1)"), HasSubstr("expected the id of a token"));
}

}  // namespace
}  // namespace tern::convert
