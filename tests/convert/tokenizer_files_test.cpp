// Tokenizers of every model through the files of a checkpoint and back.
#include "convert/tokenizer_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <filesystem>

#include "convert/tokenizer.h"
#include "text/vocabulary.h"

namespace tern::convert {
namespace {

using format::GgufFile;
using ::testing::HasSubstr;

const std::filesystem::path kData = std::filesystem::path(TERN_SOURCE_DIR) / "tests/reference/data";

// The keys that the files give.
std::vector<std::byte> read_back(const boost::json::object& config, const FolderFiles& files,
                                 std::uint32_t vocab) {
  const std::string none;
  const MadeFolder folder("checkpoint", files, none, 0);
  format::GgufWriter writer;
  std::vector<std::string> read;
  const boost::json::object parsed =
      boost::json::parse(boost::json::serialize(config)).get_object();
  const auto added = add_tokenizer(folder, parsed, vocab, writer, read);
  EXPECT_TRUE(added.ok()) << added.error().to_string();
  auto layout = writer.layout();
  EXPECT_TRUE(layout.ok());
  return std::move(layout->head);
}

class TokenizerFiles : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerFiles, SayTheSameTokenizer) {
  const auto file = GgufFile::open(kData / GetParam());
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  boost::json::object config;
  FolderFiles files;
  const auto made = make_tokenizer_files(*file, config, files);
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  const auto vocabulary = text::read_vocabulary(*file);
  ASSERT_TRUE(vocabulary.ok());
  const auto count = static_cast<std::uint32_t>(vocabulary->tokens.size());
  for (const std::uint32_t rows : {count, count + 7}) {  // of the embedding
    const std::vector<std::byte> keys = read_back(config, files, rows);
    const auto after = GgufFile::parse(keys, "after");
    ASSERT_TRUE(after.ok()) << after.error().to_string();
    const auto same = check_same_tokenizer(*file, *after);
    EXPECT_TRUE(same.ok()) << same.error().to_string();
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TokenizerFiles,
                         ::testing::Values("bpe_gpt-2.gguf", "bpe_olmo.gguf", "bpe_llama-bpe.gguf",
                                           "bpe_qwen2.gguf", "bpe_falcon.gguf", "spm_plain.gguf",
                                           "spm_prefix.gguf"));

// Whose classes in transformers put tokens behind a text that Tern does not.
TEST(TokenizerFiles, RefuseUnigram) {
  for (const char* name : {"unigram_bytes.gguf", "unigram_unknown.gguf"}) {
    const auto file = GgufFile::open(kData / name);
    ASSERT_TRUE(file.ok()) << file.error().to_string();
    boost::json::object config;
    FolderFiles files;
    const auto made = make_tokenizer_files(*file, config, files);
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(made.error().to_string(), HasSubstr("a unigram tokenizer is not written"));
    EXPECT_TRUE(files.empty());
  }
}

// A small vocabulary (the last three are U+FFFD, for all bytes that have no token), with what a
// test changes of it.
struct Keys {
  std::string model = "gpt2";
  std::vector<std::string> tokens{"<s>", "</s>", "a", "b", "ab", "<user>",
                                  "c",   "ac",   "ï", "¿", "½"};
  std::vector<std::int32_t> kinds{3, 3, 1, 1, 1, 4, 1, 1, 1, 1, 1};
  std::vector<std::string> merges{"a b", "a c"};
  std::uint32_t bos = 0;
  std::uint32_t eos = 1;
  std::uint32_t eot = 1;
  bool add_bos = true;
  bool add_eos = false;

  std::vector<std::byte> head() const {
    format::GgufWriter writer;
    writer.set("tokenizer.ggml.model", model);
    writer.set("tokenizer.ggml.pre", std::string("gpt-2"));
    writer.set("tokenizer.ggml.tokens", tokens);
    writer.set("tokenizer.ggml.token_type", kinds);
    writer.set("tokenizer.ggml.merges", merges);
    writer.set("tokenizer.ggml.bos_token_id", bos);
    writer.set("tokenizer.ggml.eos_token_id", eos);
    writer.set("tokenizer.ggml.eot_token_id", eot);
    writer.set("tokenizer.ggml.add_bos_token", add_bos);
    writer.set("tokenizer.ggml.add_eos_token", add_eos);
    auto layout = writer.layout();
    EXPECT_TRUE(layout.ok());
    return std::move(layout->head);
  }
};

std::string difference(const Keys& before, const Keys& after) {
  const auto a = before.head();
  const auto b = after.head();
  const auto file_a = GgufFile::parse(a, "a");
  const auto file_b = GgufFile::parse(b, "b");
  EXPECT_TRUE(file_a.ok() && file_b.ok());
  const auto same = check_same_tokenizer(*file_a, *file_b);
  return same ? "" : same.error().message;
}

TEST(SameTokenizer, NamesWhatDiffers) {
  EXPECT_EQ(difference({}, {}), "");
  Keys other;
  other.tokens[6] = "d";
  other.merges.pop_back();
  EXPECT_THAT(difference({}, other), HasSubstr("differ in token 6"));
  other = {};
  other.kinds[1] = 4;
  EXPECT_THAT(difference({}, other), HasSubstr("the kind of token 1"));
  other = {};
  other.tokens.emplace_back("more");
  other.kinds.push_back(4);
  EXPECT_THAT(difference({}, other), HasSubstr("the kind of token 11"));
  other.kinds.back() = 5;  // unused
  EXPECT_EQ(difference({}, other), "");
  other = {};
  std::swap(other.merges[0], other.merges[1]);
  EXPECT_THAT(difference({}, other), HasSubstr("merge 0"));
  other = {};
  other.merges.pop_back();
  EXPECT_THAT(difference({}, other), HasSubstr("merge 1"));
  other = {};
  other.bos = 1;
  EXPECT_THAT(difference({}, other), HasSubstr("the BOS token"));
  other = {};
  other.eos = 0;
  EXPECT_THAT(difference({}, other), HasSubstr("the EOS token"));
  other = {};
  other.eot = 0;
  EXPECT_THAT(difference({}, other), HasSubstr("ends a turn"));
  other = {};
  other.add_bos = false;
  EXPECT_THAT(difference({}, other), HasSubstr("whether BOS is added"));
  other = {};
  other.add_eos = true;
  EXPECT_THAT(difference({}, other), HasSubstr("whether EOS is added"));
}

TEST(TokenizerFiles, KeepTemplatesDefaultsAndSpecialTokens) {
  format::GgufWriter writer;
  const Keys keys;
  writer.set("tokenizer.ggml.model", keys.model);
  writer.set("tokenizer.ggml.pre", std::string("gpt-2"));
  writer.set("tokenizer.ggml.tokens", keys.tokens);
  writer.set("tokenizer.ggml.token_type", keys.kinds);
  writer.set("tokenizer.ggml.merges", keys.merges);
  writer.set("tokenizer.ggml.bos_token_id", 0u);
  writer.set("tokenizer.ggml.eos_token_id", 1u);
  writer.set("tokenizer.ggml.eot_token_id", 5u);
  writer.set("tokenizer.ggml.padding_token_id", 4u);
  writer.set("tokenizer.ggml.add_bos_token", true);
  writer.set("tokenizer.ggml.add_eos_token", true);
  writer.set("tokenizer.chat_template", std::string("{{ 'a\"\\n' }}"));
  writer.set("tokenizer.chat_template.tool_use", std::string("t"));
  writer.set("general.sampling.temp", 0.7f);
  writer.set("general.sampling.top_k", std::int32_t{40});
  const auto layout = writer.layout();
  ASSERT_TRUE(layout.ok());
  const auto file = GgufFile::parse(layout->head, "before");
  ASSERT_TRUE(file.ok());
  boost::json::object config;
  FolderFiles files;
  ASSERT_TRUE(make_tokenizer_files(*file, config, files).ok());
  const auto back = read_back(config, files, 11);
  const auto after = GgufFile::parse(back, "after");
  ASSERT_TRUE(after.ok());
  for (const std::string_view key : file->keys()) {
    const format::GgufValue* value = after->find(key);
    ASSERT_NE(value, nullptr) << key;
    EXPECT_EQ(*value, *file->find(key)) << key;
  }
  const auto settings = boost::json::parse(files["tokenizer_config.json"]);
  EXPECT_EQ(settings.at("pad_token").as_string(), "ab");
  EXPECT_EQ(boost::json::parse(files["generation_config.json"]).at("temperature").as_double(), 0.7);
}

}  // namespace
}  // namespace tern::convert
