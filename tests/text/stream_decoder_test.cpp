#include "text/stream_decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "text/utf8.h"
#include "text/vocabularies.h"

namespace tern::text {
namespace {

class StreamDecoderTest : public testing::Test {
 protected:
  StreamDecoderTest() {
    Vocabulary v = byte_vocabulary();
    tail_and_head_ = add_token(v, "\xB7\xE6");
    control_ = add_token(v, "<|c|>", TokenKind::kControl);
    tokenizer_.emplace(std::move(*Tokenizer::create(std::move(v))));
  }
  static TokenId byte(int value) { return value; }

  std::optional<Tokenizer> tokenizer_;
  TokenId tail_and_head_ = 0;
  TokenId control_ = 0;
};

TEST_F(StreamDecoderTest, WaitsForTheEndOfACharacter) {
  StreamDecoder d(*tokenizer_);
  EXPECT_EQ(d.push('a'), "a");
  EXPECT_EQ(d.push(byte(0xE6)), "");
  EXPECT_EQ(d.push(byte(0xB5)), "");
  EXPECT_EQ(d.push(tail_and_head_), "海");
  EXPECT_EQ(d.push(byte(0xB5)), "");
  EXPECT_EQ(d.push(byte(0xB7)), "海");
  EXPECT_EQ(d.finish(), "");
}

TEST_F(StreamDecoderTest, ReplacesWhatCanNoLongerBecomeACharacter) {
  StreamDecoder d(*tokenizer_);
  EXPECT_EQ(d.push(byte(0xFF)), "\uFFFD");
  EXPECT_EQ(d.push(byte(0xE6)), "");
  EXPECT_EQ(d.push('x'), "\uFFFDx");
  EXPECT_EQ(d.push(byte(0xF0)), "");
  EXPECT_EQ(d.push(byte(0x9F)), "");
  EXPECT_EQ(d.push(byte(0xF0)), "\uFFFD");
  EXPECT_EQ(d.finish(), "\uFFFD");
  EXPECT_EQ(d.finish(), "");
  EXPECT_EQ(d.push('y'), "y");
}

TEST_F(StreamDecoderTest, SpecialTokensAreSilentUnlessAskedFor) {
  StreamDecoder silent(*tokenizer_);
  EXPECT_EQ(silent.push(byte(0xC3)), "");
  EXPECT_EQ(silent.push(control_), "");
  EXPECT_EQ(silent.push(byte(0xA9)), "é");
  StreamDecoder loud(*tokenizer_, true);
  EXPECT_EQ(loud.push(byte(0xC3)), "");
  EXPECT_EQ(loud.push(control_), "\uFFFD<|c|>");
  EXPECT_EQ(loud.push(-1), "");
}

TEST_F(StreamDecoderTest, AllPiecesTogetherEqualTheWhole) {
  std::mt19937 random(2);
  const unsigned char bytes[] = {'a', 0x80, 0xA9, 0xC3, 0xE6, 0xB5, 0xB7, 0xF0, 0x9F, 0xED, 0xFF};
  for (int round = 0; round < 2000; ++round) {
    std::vector<TokenId> ids;
    for (auto n = random() % 12; n > 0; --n) {
      ids.push_back(random() % 8 == 0 ? tail_and_head_ : TokenId{bytes[random() % 11]});
    }
    StreamDecoder d(*tokenizer_);
    std::string streamed;
    for (const TokenId id : ids) {
      const std::string piece = d.push(id);
      ASSERT_EQ(replace_invalid_utf8(piece), piece);
      streamed += piece;
    }
    streamed += d.finish();
    ASSERT_EQ(streamed, replace_invalid_utf8(tokenizer_->decode(ids)));
  }
}

}  // namespace
}  // namespace tern::text
