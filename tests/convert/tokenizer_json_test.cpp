// tokenizer.json: pre-tokenizers by their published content, tokens, merges, what is added to a
// text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert/vocabulary.h"
#include "core/json.h"

namespace tern::convert {
namespace {

using ::testing::HasSubstr;
using text::TokenKind;

constexpr const char* kByteLevel =
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
// As the files of Llama 3 and Qwen 2 have it, but for the digits.
std::string split_and_bytes(const std::string& digits) {
  return R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
         R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|)" +
         digits +
         R"(| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},)"
         R"("behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,)"
         R"("trim_offsets":true,"use_regex":false}]})";
}
constexpr const char* kFalcon =
    R"({"type":"Sequence","pretokenizers":[{"type":"Punctuation","behavior":"Contiguous"},)"
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},)"
    R"({"type":"Digits","individual_digits":false},{"type":"Split","pattern":)"
    R"({"Regex":"[0-9][0-9][0-9]"},"behavior":"Isolated","invert":false}]})";

struct Parts {
  std::string pre = kByteLevel;
  std::string normalizer = "null";
  std::string ignore_merges = "false";
  std::string added = R"([{"id":3,"content":"<s>","special":true},{"id":6,"content":"<tool>"}])";
  std::string post = "null";
};

Result<HfVocabulary> read(const Parts& parts, const SpecialNames& names = {"<s>", ""}) {
  const std::string text = R"({"version":"1.0","added_tokens":)" + parts.added +
                           R"(,"normalizer":)" + parts.normalizer + R"(,"pre_tokenizer":)" +
                           parts.pre + R"(,"post_processor":)" + parts.post +
                           R"(,"model":{"type":"BPE","ignore_merges":)" + parts.ignore_merges +
                           R"(,"vocab":{"a":0,"b":1,"ab":2,"c":4},"merges":["a b"]}})";
  TERN_ASSIGN(const auto value, parse_json(text));
  return read_tokenizer_json(value.get_object(), names, 64, "file");
}

std::string pre_tokenizer(const Parts& parts) {
  const auto vocabulary = read(parts);
  return vocabulary.ok() ? vocabulary->pre_tokenizer : vocabulary.error().to_string();
}

TEST(TokenizerJson, KnowsPreTokenizersByTheirContent) {
  const std::string llama3 = split_and_bytes(R"(\\p{N}{1,3})");
  const std::string qwen2 = split_and_bytes(R"(\\p{N})");
  const std::string nfc = R"({"type":"NFC"})";
  EXPECT_EQ(pre_tokenizer({}), "gpt-2");
  EXPECT_EQ(pre_tokenizer({.normalizer = nfc}), "olmo");
  EXPECT_EQ(pre_tokenizer({.pre = llama3, .ignore_merges = "true"}), "llama-bpe");
  EXPECT_EQ(pre_tokenizer({.pre = qwen2, .normalizer = nfc}), "qwen2");
  EXPECT_EQ(pre_tokenizer({.pre = kFalcon}), "falcon");
}

TEST(TokenizerJson, RefusesWhatOnlyLooksLikeOne) {
  const std::string llama3 = split_and_bytes(R"(\\p{N}{1,3})");
  EXPECT_THAT(pre_tokenizer({.pre = llama3}), HasSubstr("expected true as the pre-tokenizer is"));
  EXPECT_THAT(pre_tokenizer({.pre = split_and_bytes(R"(\\p{N}{1,4})"), .ignore_merges = "true"}),
              HasSubstr("none of those that Tern knows"));
  EXPECT_THAT(pre_tokenizer({.pre = split_and_bytes(R"(\\p{N})")}),  // without NFC
              HasSubstr("none of those that Tern knows"));
  EXPECT_THAT(pre_tokenizer({.normalizer = R"({"type":"NFKC"})"}), HasSubstr("none or NFC"));
}

TEST(TokenizerJson, GivesTokensByTheirIds) {
  const auto vocabulary = read({});
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.error().to_string();
  EXPECT_EQ(vocabulary->tokens,
            (std::vector<std::string>{"a", "b", "ab", "<s>", "c", "[UNUSED5]", "<tool>"}));
  EXPECT_EQ(vocabulary->kinds[3], TokenKind::kControl);
  EXPECT_EQ(vocabulary->kinds[4], TokenKind::kNormal);
  EXPECT_EQ(vocabulary->kinds[5], TokenKind::kUnused);
  EXPECT_EQ(vocabulary->kinds[6], TokenKind::kUserDefined);
  EXPECT_EQ(vocabulary->merges, std::vector<std::string>{"a b"});
  EXPECT_EQ(vocabulary->bos, 3u);
  EXPECT_FALSE(vocabulary->eos);
  EXPECT_FALSE(vocabulary->add_bos);
}

TEST(TokenizerJson, SaysWhatIsAddedToAText) {
  const std::string bos = R"({"SpecialToken":{"id":"<s>","type_id":0}})";
  const std::string sequence = R"({"Sequence":{"id":"A","type_id":0}})";
  const auto single = [](const std::string& steps) {
    return R"({"type":"Sequence","processors":[{"type":"ByteLevel"},)"
           R"({"type":"TemplateProcessing","single":[)" +
           steps + "]}]}";
  };
  const auto front = read({.post = single(bos + "," + sequence)});
  ASSERT_TRUE(front.ok()) << front.error().to_string();
  EXPECT_EQ(front->add_bos, true);
  EXPECT_EQ(front->add_eos, false);
  const auto behind = read({.post = single(sequence + "," + bos)}, {"", "<s>"});
  ASSERT_TRUE(behind.ok()) << behind.error().to_string();
  EXPECT_EQ(behind->add_bos, false);
  EXPECT_EQ(behind->add_eos, true);
  EXPECT_FALSE(read({.post = single(sequence + "," + bos)}).ok());
  EXPECT_FALSE(read({.post = single(bos + "," + bos + "," + sequence)}).ok());
}

}  // namespace
}  // namespace tern::convert
