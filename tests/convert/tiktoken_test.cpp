// tiktoken files: Llama 3's becomes the vocabulary that its GGUF files have; others are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert/vocabulary.h"
#include "text/shared_data.h"

namespace tern::convert {
namespace {

using ::testing::HasSubstr;

TEST(Tiktoken, IsKnownByItsFirstLine) {
  EXPECT_TRUE(is_tiktoken("IQ== 0\nIg== 1\n"));
  EXPECT_FALSE(is_tiktoken("IQ== 1\n"));
  EXPECT_FALSE(is_tiktoken("IQ==\n"));
  EXPECT_FALSE(is_tiktoken("0\n"));
  EXPECT_FALSE(is_tiktoken("IQ== 99999999999999999999\n"));
  EXPECT_FALSE(is_tiktoken("I?== 0\n"));
  EXPECT_FALSE(is_tiktoken("IQ== 0x\n"));
  EXPECT_FALSE(is_tiktoken(std::string("\x0a\x05\x0a\x03", 4)));
}

TEST(Tiktoken, OthersAreRefused) {
  const auto read = read_tiktoken("IQ== 0\n", "file");
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(read.error().to_string(), HasSubstr("bring a tokenizer.json"));
}

TEST(Tiktoken, Llama3) {
  const auto model = text::shared_data() / "tokenizers/llama3/tokenizer.model";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is not here";
  const std::string text = text::read_file(model);
  const auto read = read_tiktoken(text, "file");
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  ASSERT_EQ(read->tokens.size(), 128256u);
  EXPECT_EQ(read->merges.size(), 280147u);  // as many as in the published tokenizer.json
  EXPECT_EQ(read->merges.front(), "\u0120 \u0120");
  EXPECT_EQ(read->tokens[128000], "<|begin_of_text|>");
  EXPECT_EQ(read->tokens[128009], "<|eot_id|>");
  EXPECT_EQ(read->tokens[128255], "<|reserved_special_token_250|>");
  EXPECT_EQ(read->bos, 128000u);
  EXPECT_EQ(read->eos, 128001u);
  EXPECT_EQ(read->pre_tokenizer, "llama-bpe");
}

}  // namespace
}  // namespace tern::convert
