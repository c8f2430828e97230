// Strings and their ids as Hugging Face tokenizers and SentencePiece give them; make_bpe_vectors.py
// and make_spm_vectors.py of tests/reference made both files. TERN_BPE_VECTORS names another
// directory to take them from, such as one with 100,000 random strings. And the vectors of
// published vocabularies, where they are at hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/escaped_text.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/shared_data.h"
#include "text/tokenizer.h"

namespace tern::text {
namespace {

std::filesystem::path directory() {
  const char* other = std::getenv("TERN_BPE_VECTORS");
  if (other != nullptr) return other;
  return std::filesystem::path(TERN_SOURCE_DIR) / "tests/reference/data";
}

template <typename T>
T must_be(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

class GoldenVectors : public testing::TestWithParam<const char*> {};

TEST_P(GoldenVectors, AreExact) {
  const std::string name = GetParam();
  const auto file = format::GgufFile::open(directory() / (name + ".gguf"));
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  const auto tokenizer = Tokenizer::from_gguf(*file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();

  const std::string pre(must_be(file->get_string("tokenizer.ggml.pre")));
  const auto unknown = file->get_uint("tokenizer.ggml.unknown_token_id");
  const auto is_unknown = [&](const std::vector<TokenId>& ids) {
    return name == "unigram_unknown" &&
           std::find(ids.begin(), ids.end(), static_cast<TokenId>(*unknown)) != ids.end();
  };
  std::ifstream vectors(directory() / (name + ".txt"));
  int texts = 0;
  int specials = 0;
  std::string mode;
  std::string escaped;
  std::string ids;
  while (std::getline(vectors, mode, '\t') && std::getline(vectors, escaped, '\t') &&
         std::getline(vectors, ids)) {
    ASSERT_TRUE(mode == "text" || mode == "special");
    ++(mode == "text" ? texts : specials);
    const std::string text = test::unescape(escaped);
    std::vector<TokenId> expected;
    std::istringstream in(ids);
    for (TokenId id = 0; in >> id;) expected.push_back(id);

    EncodeOptions options;
    options.parse_special = mode == "special";
    ASSERT_EQ(tokenizer->encode(text, options), expected) << GetParam() << " " << escaped;
    const std::string kept =
        find_pre_tokenizer(pre) && find_pre_tokenizer(pre)->composes ? to_nfc(text) : text;
    const bool lost = is_unknown(expected);
    ASSERT_EQ(tokenizer->decode(expected, true) == kept, !lost) << GetParam() << " " << escaped;
  }
  EXPECT_GE(texts, 600);
  EXPECT_GE(specials, name.starts_with("bpe_") ? 50 : 0);  // SentencePiece does not parse them
}

std::string test_name(const testing::TestParamInfo<const char*>& each) {
  std::string name = each.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenVectors,
                         testing::Values("bpe_gpt-2", "bpe_llama-bpe", "bpe_falcon", "bpe_qwen2",
                                         "bpe_olmo", "spm_prefix", "spm_plain", "unigram_bytes",
                                         "unigram_unknown"),
                         test_name);

class SharedVectors : public testing::TestWithParam<const char*> {};

TEST_P(SharedVectors, AreExact) {
  const auto folder = shared_data() / "tokenizers" / GetParam();
  if (!std::filesystem::exists(folder / "vocab.gguf")) {
    GTEST_SKIP() << "no vocabulary in " << folder << "; set TERN_SHARED_DATA";
  }
  const auto file = format::GgufFile::open(folder / "vocab.gguf");
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  const auto tokenizer = Tokenizer::from_gguf(*file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  const auto vectors = read_vectors(folder);
  for (const auto& [text, expected] : vectors) {
    EXPECT_EQ(tokenizer->encode(text, {.add_bos = false}), expected) << text;
    EXPECT_EQ(tokenizer->decode(expected), text);
  }
  EXPECT_EQ(vectors.size(), 46u);
}

INSTANTIATE_TEST_SUITE_P(All, SharedVectors, testing::Values("falcon", "llama-spm"), test_name);

}  // namespace
}  // namespace tern::text
