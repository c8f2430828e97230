// The vocabulary of Llama 3, which is also that of BitNet b1.58 2B-4T: from its tiktoken file by
// the code below, and from the GGUF file that tools/tiktoken_to_gguf writes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <unordered_map>

#include "support/temporary_directory.h"
#include "text/shared_data.h"
#include "text/tokenizer.h"

namespace tern::text {
namespace {

namespace fs = std::filesystem;

std::string from_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<unsigned>(kDigits.find(c));
    count += 6;
    if (count >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xFF);
  }
  return out;
}

// tiktoken merges by the rank of the result, however it came about: each way to put a token
// together is a merge with the token's own rank.
Vocabulary read_tiktoken(const fs::path& path) {
  Vocabulary v;
  v.pre_tokenizer = "llama-bpe";
  std::ifstream in(path);
  std::string text;
  std::uint32_t rank = 0;
  std::unordered_map<std::string, TokenId> ids;
  while (in >> text >> rank) {
    EXPECT_EQ(rank, v.tokens.size());
    v.tokens.push_back({from_base64(text), TokenKind::kNormal});
    ids.emplace(v.tokens.back().bytes, static_cast<TokenId>(rank));
  }
  for (std::size_t id = 0; id < v.tokens.size(); ++id) {
    const std::string& bytes = v.tokens[id].bytes;
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      const auto left = ids.find(bytes.substr(0, cut));
      const auto right = ids.find(bytes.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      v.merges.push_back(
          {left->second, right->second, static_cast<TokenId>(id), static_cast<std::uint32_t>(id)});
    }
  }
  v.tokens.push_back({"<|begin_of_text|>", TokenKind::kControl});
  v.bos = static_cast<TokenId>(v.tokens.size() - 1);
  return v;
}

class Llama3 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const fs::path model = folder() / "tokenizer.model";
    if (!fs::exists(model)) return;
    auto made = Tokenizer::create(read_tiktoken(model));
    ASSERT_TRUE(made.ok()) << made.error().to_string();
    from_tiktoken_ = new Tokenizer(std::move(*made));

    const test::TemporaryDirectory directory;
    const fs::path gguf = directory / "llama3.gguf";
    const std::string command = "python3 '" TERN_SOURCE_DIR "/tools/tiktoken_to_gguf' '" +
                                model.string() + "' '" + gguf.string() + "'";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT(cert-env33-c)
    const auto file = format::GgufFile::open(gguf);
    ASSERT_TRUE(file.ok()) << file.error().to_string();
    auto read = Tokenizer::from_gguf(*file);
    ASSERT_TRUE(read.ok()) << read.error().to_string();
    from_gguf_ = new Tokenizer(std::move(*read));
  }
  static void TearDownTestSuite() {
    delete from_tiktoken_;
    delete from_gguf_;
    from_tiktoken_ = from_gguf_ = nullptr;
  }
  void SetUp() override {
    if (!fs::exists(folder() / "tokenizer.model")) {
      GTEST_SKIP() << "no Llama 3 vocabulary in " << folder() << "; set TERN_SHARED_DATA";
    }
    ASSERT_NE(from_gguf_, nullptr);
  }

  static fs::path folder() { return shared_data() / "tokenizers/llama3"; }
  static std::vector<TokenId> ids(const Tokenizer& tokenizer, std::string_view text) {
    EncodeOptions options;
    options.add_bos = false;
    return tokenizer.encode(text, options);
  }

  static Tokenizer* from_tiktoken_;
  static Tokenizer* from_gguf_;
};

Tokenizer* Llama3::from_tiktoken_ = nullptr;
Tokenizer* Llama3::from_gguf_ = nullptr;

TEST_F(Llama3, VectorsAreExact) {
  const auto vectors = read_vectors(folder());
  for (const auto& [text, expected] : vectors) {
    EXPECT_EQ(ids(*from_tiktoken_, text), expected) << text;
    EXPECT_EQ(ids(*from_gguf_, text), expected) << text;
    EXPECT_EQ(from_gguf_->decode(expected), text);
  }
  EXPECT_EQ(vectors.size(), 46u);
}

TEST_F(Llama3, BothSourcesAgreeOnBooksAndNoise) {
  for (const char* book : {"dracula-stoker.txt", "melville-moby_dick.txt"}) {
    const std::string text = read_file(shared_data() / "corpus" / book);
    ASSERT_GT(text.size(), 50'000u);
    const auto expected = ids(*from_tiktoken_, text);
    EXPECT_EQ(ids(*from_gguf_, text), expected);
    EXPECT_LT(expected.size(), text.size() / 3);
    EXPECT_EQ(from_gguf_->decode(expected), text);
  }
  std::mt19937 random(3);
  std::string noise;
  for (int i = 0; i < 300'000; ++i) noise += static_cast<char>(random());
  for (int i = 0; i < 300'000; ++i) noise += "etaoin\n \xC3\xA9"[random() % 10];
  EXPECT_EQ(ids(*from_gguf_, noise), ids(*from_tiktoken_, noise));
  EXPECT_EQ(from_gguf_->decode(ids(*from_gguf_, noise)), noise);
}

TEST_F(Llama3, SpecialTokens) {
  EXPECT_EQ(from_gguf_->vocab_size(), 128256u);
  EXPECT_EQ(from_gguf_->bos(), 128000);
  EXPECT_EQ(from_gguf_->eos(), 128001);
  EXPECT_EQ(from_gguf_->eot(), 128009);
  EXPECT_EQ(from_gguf_->token_bytes(128006), "<|start_header_id|>");
  EXPECT_EQ(from_gguf_->token_bytes(128010), "<|reserved_special_token_5|>");
  EXPECT_EQ(from_gguf_->token_bytes(128255), "<|reserved_special_token_250|>");
  EncodeOptions options;
  options.parse_special = true;
  EXPECT_EQ(from_gguf_->encode("Hello<|eot_id|>", options),
            (std::vector<TokenId>{128000, 9906, 128009}));
  const auto as_text = from_gguf_->encode("Hello<|eot_id|>");
  EXPECT_EQ(
      std::count_if(as_text.begin() + 1, as_text.end(), [](TokenId t) { return t >= 128000; }), 0);
}

}  // namespace
}  // namespace tern::text
