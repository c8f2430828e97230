#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "text/vocabularies.h"

namespace tern::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Tokenizer make(Vocabulary v) {
  auto made = Tokenizer::create(std::move(v));
  EXPECT_TRUE(made.ok()) << made.error().to_string();
  return std::move(*made);
}

EncodeOptions parsing() {
  EncodeOptions options;
  options.parse_special = true;
  return options;
}

// Vocabularies that Tokenizer::create() refuses, and how.
void expect_refused(Vocabulary v, ErrorCode code, const std::string& key,
                    const std::string& message) {
  const auto made = Tokenizer::create(std::move(v));
  ASSERT_FALSE(made.ok()) << message;
  EXPECT_EQ(made.error().code, code);
  EXPECT_EQ(made.error().context, "key 'tokenizer.ggml." + key + "'");
  EXPECT_THAT(made.error().message, HasSubstr(message));
}

TEST(Tokenizer, MergesInsideOfPreTokensOnly) {
  Vocabulary v = byte_vocabulary();
  const TokenId ab = add_merge(v, "a", "b");
  const TokenId b_space = add_merge(v, "b", " ");
  const TokenId space_a = add_merge(v, " ", "a");
  const Tokenizer t = make(std::move(v));
  EXPECT_THAT(t.encode("ab ab"), ElementsAre(ab, ' ', ab));
  EXPECT_THAT(t.encode("b a"), ElementsAre('b', space_a));
  static_cast<void>(b_space);
}

TEST(Tokenizer, LlamaTakesWholeTokensThatMergesWouldNotMake) {
  Vocabulary v = byte_vocabulary("gpt-2");
  const TokenId bc = add_merge(v, "b", "c");
  const TokenId abc = add_token(v, "abc");
  const Tokenizer gpt2 = make(v);
  EXPECT_THAT(gpt2.encode("abc"), ElementsAre('a', bc));
  v.pre_tokenizer = "llama-bpe";
  v.add_bos = false;
  const Tokenizer llama = make(v);
  EXPECT_THAT(llama.encode("abc"), ElementsAre(abc));
  EXPECT_THAT(llama.encode("abcd"), ElementsAre('a', bc, 'd'));
}

TEST(Tokenizer, SpecialTokensInTextAreTextUnlessAskedFor) {
  Vocabulary v = byte_vocabulary();
  const TokenId eot = add_token(v, "<|e|>", TokenKind::kControl);
  const TokenId longer = add_token(v, "<|e|>>", TokenKind::kControl);
  const TokenId unknown = add_token(v, "<unk>", TokenKind::kUnknown);
  add_token(v, "<pad>", TokenKind::kUnused);
  const Tokenizer t = make(std::move(v));
  EXPECT_THAT(t.encode("<|e|>"), ElementsAre('<', '|', 'e', '|', '>'));
  EXPECT_THAT(t.encode("<|e|>", parsing()), ElementsAre(eot));
  EXPECT_THAT(t.encode("a<|e|>>b<|e|", parsing()),
              ElementsAre('a', longer, 'b', '<', '|', 'e', '|'));
  EXPECT_THAT(t.encode("<<unk>", parsing()), ElementsAre('<', unknown));
  EXPECT_THAT(t.encode("<pad>", parsing()), ElementsAre('<', 'p', 'a', 'd', '>'));
}

TEST(Tokenizer, UserDefinedTokensAreAlwaysFoundTheLongestFirst) {
  Vocabulary v = byte_vocabulary();
  const TokenId two = add_token(v, "  ", TokenKind::kUserDefined);
  const TokenId three = add_token(v, "   ", TokenKind::kUserDefined);
  const Tokenizer t = make(std::move(v));
  EXPECT_THAT(t.encode("a     b"), ElementsAre('a', three, two, 'b'));
  EXPECT_THAT(t.encode("a    b", parsing()), ElementsAre('a', three, ' ', 'b'));
  EXPECT_FALSE(t.is_special(two));
  EXPECT_EQ(t.decode(std::vector<TokenId>{two, 'x'}), "  x");
}

// The vocabulary of Falcon lacks 28 bytes.
TEST(Tokenizer, BytesWithoutATokenBecomeAReplacementCharacter) {
  Vocabulary v = byte_vocabulary();
  v.tokens[0x03].kind = TokenKind::kControl;
  const TokenId ef_bf = add_merge(v, "\xEF", "\xBF");
  const Tokenizer t = make(std::move(v));
  EXPECT_THAT(t.encode("a\x03!"), ElementsAre('a', ef_bf, 0xBD, '!'));
  EXPECT_EQ(t.decode(t.encode("a\x03!")), "a\uFFFD!");
}

TEST(Tokenizer, AddsBosAndEosAsTheFileSaysUnlessTold) {
  Vocabulary v = byte_vocabulary("llama-bpe");
  v.bos = add_token(v, "<s>", TokenKind::kControl);
  v.eos = add_token(v, "</s>", TokenKind::kControl);
  const Tokenizer habit = make(v);
  EXPECT_TRUE(habit.adds_bos());
  EXPECT_THAT(habit.encode("a"), ElementsAre(*v.bos, 'a'));
  EncodeOptions options;
  options.add_bos = false;
  options.add_eos = true;
  EXPECT_THAT(habit.encode("a", options), ElementsAre('a', *v.eos));
  EXPECT_THAT(habit.encode(""), ElementsAre(*v.bos));

  options.add_bos = true;  // where there are no such tokens
  EXPECT_THAT(make(byte_vocabulary()).encode("a", options), ElementsAre('a'));

  v.add_bos = false;
  v.add_eos = true;
  EXPECT_THAT(make(v).encode("a"), ElementsAre('a', *v.eos));
  v.add_bos = std::nullopt;
  v.pre_tokenizer = "gpt-2";
  EXPECT_FALSE(make(v).adds_bos());
}

TEST(Tokenizer, DecodesNamesOfSpecialTokensOnlyWhenAskedTo) {
  Vocabulary v = byte_vocabulary();
  const TokenId control = add_token(v, "<|c|>", TokenKind::kControl);
  const TokenId unused = add_token(v, "[PAD0]", TokenKind::kUnused);
  const Tokenizer t = make(std::move(v));
  const std::vector<TokenId> ids{'a', control, unused, -1, 258, 'b', 0xFF};
  EXPECT_EQ(t.decode(ids), "ab\xFF");
  EXPECT_EQ(t.decode(ids, true), "a<|c|>[PAD0]b\xFF");
  EXPECT_EQ(t.token_bytes(control), "<|c|>");
  EXPECT_EQ(t.token_bytes(-1), "");
  EXPECT_EQ(t.token_bytes(258), "");
  EXPECT_EQ(t.vocab_size(), 258u);
  EXPECT_TRUE(t.is_special(control));
  EXPECT_TRUE(t.is_special(unused));
  EXPECT_FALSE(t.is_special('a'));
  EXPECT_FALSE(t.is_special(258));
}

TEST(Tokenizer, KnowsWhereAGenerationEnds) {
  Vocabulary v = byte_vocabulary();
  v.eos = '!';
  v.eot = '?';
  const TokenId eot_id = add_token(v, "<|eot_id|>", TokenKind::kControl);
  const TokenId im_end = add_token(v, "<|im_end|>", TokenKind::kControl);
  const TokenId start = add_token(v, "<|im_start|>", TokenKind::kControl);
  const TokenId text = add_token(v, "<|endoftext|>", TokenKind::kNormal);
  const Tokenizer t = make(std::move(v));
  for (const TokenId id : {TokenId{'!'}, TokenId{'?'}, eot_id, im_end}) {
    EXPECT_TRUE(t.is_end_of_generation(id)) << id;
  }
  for (const TokenId id : {TokenId{'a'}, start, text, -1, 1000}) {
    EXPECT_FALSE(t.is_end_of_generation(id)) << id;
  }
  EXPECT_EQ(t.eos(), '!');
  EXPECT_EQ(t.eot(), '?');
  EXPECT_EQ(t.bos(), std::nullopt);
}

// A text that ends at the end of its allocation: AddressSanitizer sees a read beyond it.
TEST(Tokenizer, ReadsNothingBeyondTheText) {
  for (const char* pre_tokenizer : {"gpt-2", "llama-bpe", "falcon"}) {
    Vocabulary v = byte_vocabulary(pre_tokenizer);
    v.add_bos = false;
    add_token(v, "<|c|>", TokenKind::kControl);
    const Tokenizer t = make(std::move(v));
    for (const std::string_view text : {"a", "1", "!", " ", "\n", "'", "'l", "'r", "!\n", " \n",
                                        "  ", " !", "\xE6", "\xE6\xB5", "<|c", "<|c|>", "a<"}) {
      const std::vector<char> exact(text.begin(), text.end());
      const auto ids = t.encode(std::string_view(exact.data(), exact.size()), parsing());
      EXPECT_EQ(t.decode(ids, true), text);
    }
  }
}

TEST(Tokenizer, AnyBytesRoundTrip) {
  std::mt19937 random(4);
  for (const char* pre_tokenizer : {"gpt-2", "llama-bpe", "falcon"}) {
    Vocabulary v = byte_vocabulary(pre_tokenizer);
    v.add_bos = false;
    add_merge(v, "\xC3", "\xA9");
    add_merge(v, "\xA9", "\xFF");
    add_merge(v, " ", "\xC3");
    const Tokenizer t = make(std::move(v));
    for (int round = 0; round < 2000; ++round) {
      std::string text;
      for (auto n = random() % 30; n > 0; --n) {
        text +=
            random() % 2 == 0 ? "\xC3\xA9\xFF \n'sa1"[random() % 9] : static_cast<char>(random());
      }
      ASSERT_EQ(t.decode(t.encode(text)), text);
    }
  }
}

TEST(Tokenizer, ServesManyThreadsAtOnce) {
  Vocabulary v = byte_vocabulary();
  add_merge(v, "a", "b");
  add_token(v, "<|c|>", TokenKind::kControl);
  const Tokenizer t = make(std::move(v));
  const std::string text = "ab a b <|c|> abab 'll\n\n ab";
  const auto expected = t.encode(text, parsing());
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 200; ++round) wrong[i] += t.encode(text, parsing()) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

TEST(Tokenizer, RefusesVocabulariesThatContradictThemselves) {
  const auto malformed = [](Vocabulary v, const std::string& key, const std::string& message) {
    expect_refused(std::move(v), ErrorCode::kMalformed, key, message);
  };
  Vocabulary v = byte_vocabulary();
  v.pre_tokenizer = "default";
  expect_refused(
      v, ErrorCode::kUnsupported, "pre",
      "expected one of gpt-2, llama-bpe, llama3, llama-v3, falcon3, falcon, qwen2, olmo, found "
      "'default'");

  v = byte_vocabulary();
  add_token(v, "");
  malformed(v, "tokens", "token 256: expected a text, found an empty one");
  v = byte_vocabulary();
  add_token(v, "a");
  malformed(v, "tokens", "token 256: expected each token once, found 'a' again");
  v = byte_vocabulary();
  add_token(v, std::string_view("\0", 1));  // again token 0
  malformed(v, "tokens", "token 256: expected each token once, found '\\x00' again");
  v = byte_vocabulary();
  v.tokens.insert(v.tokens.begin(), {"<c>", TokenKind::kControl});
  add_token(v, "<c>", TokenKind::kControl);
  malformed(v, "tokens", "token 257: expected each token once, found '<c>' again");
  v = byte_vocabulary();
  add_token(v, "<c>", TokenKind::kControl);
  add_token(v, "<c>", TokenKind::kUserDefined);
  malformed(v, "tokens", "token 257: expected each token once, found '<c>' again");
  v.tokens[256].kind = TokenKind::kUserDefined;
  malformed(v, "tokens", "token 257: expected each token once, found '<c>' again");
  v = byte_vocabulary();
  v.tokens[0xFE].kind = TokenKind::kControl;
  v.tokens[0xBF].kind = TokenKind::kControl;
  malformed(v, "tokens", "or at least for those of U+FFFD, found none for byte '\\xbf'");
  v = byte_vocabulary();
  add_token(v, std::string(1025, 'x'), TokenKind::kControl);
  expect_refused(v, ErrorCode::kUnsupported, "tokens", "at most 1024 bytes, found 1025");
  v.tokens.back().bytes.pop_back();
  EXPECT_TRUE(Tokenizer::create(v).ok());

  v = byte_vocabulary();
  v.merges.push_back({'a', 'b', 256, 0});
  malformed(v, "merges", "expected ids of normal tokens, found 256");
  v.merges[0] = {-1, 'b', 'c', 0};
  malformed(v, "merges", "expected ids of normal tokens, found -1");
  add_token(v, "ab", TokenKind::kControl);
  v.merges[0] = {'a', 'b', 256, 0};
  malformed(v, "merges", "expected ids of normal tokens, found 256");
  for (const char* result : {"abc", "xb", "ax"}) {
    v = byte_vocabulary();
    v.merges.push_back({'a', 'b', add_token(v, result), 0});
    malformed(v, "merges",
              "expected that 'a' and 'b' make one token, found '" + std::string(result) + "'");
  }
  v = byte_vocabulary();
  const TokenId aa = add_merge(v, "a", "a");
  v.merges.push_back({aa, aa, add_token(v, "aaa"), 1});
  malformed(v, "merges", "expected that 'aa' and 'aa' make one token, found 'aaa'");
  v = byte_vocabulary();
  add_merge(v, "a", "b");
  v.merges.push_back({'a', 'b', 256, 1});
  malformed(v, "merges", "expected each pair once, found 'a' and 'b' again");
  v.merges.pop_back();
  v.merges[0].rank = 0xFFFFFFFF;
  malformed(v, "merges", "expected a rank below 4294967295");
}

TEST(Tokenizer, RefusesMoreThanAMillionTokens) {
  Vocabulary v = byte_vocabulary();
  v.tokens.resize(1 << 20, {"", TokenKind::kUnused});
  EXPECT_TRUE(Tokenizer::create(v).ok());
  v.tokens.push_back({"", TokenKind::kUnused});
  expect_refused(std::move(v), ErrorCode::kUnsupported, "tokens",
                 "expected at most 1048576 tokens, found 1048577");
}

TEST(Tokenizer, RefusesSpecialIdsThatAreNone) {
  Vocabulary v = byte_vocabulary();
  v.bos = 256;
  expect_refused(v, ErrorCode::kMalformed, "bos_token_id", "expected an id below 256, found 256");
  v = byte_vocabulary();
  v.eos = -1;
  expect_refused(v, ErrorCode::kMalformed, "eos_token_id", "expected an id below 256, found -1");
  v = byte_vocabulary();
  v.eot = 1000;
  expect_refused(v, ErrorCode::kMalformed, "eot_token_id", "expected an id below 256, found 1000");
  v = byte_vocabulary();
  v.add_bos = true;
  expect_refused(v, ErrorCode::kMalformed, "bos_token_id", "found no such key");
  v = byte_vocabulary();
  v.add_eos = true;
  expect_refused(v, ErrorCode::kMalformed, "eos_token_id", "found no such key");
}

}  // namespace
}  // namespace tern::text
