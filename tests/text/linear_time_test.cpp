// The work of a text twice as long is twice as much, whatever the text. Counted, not timed: a
// quadratic step count would be four times as much. What is not counted (pre-tokenizers, names of
// special tokens) runs over texts on which a quadratic scan would not end before the test's
// timeout.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "text/bpe.h"
#include "text/sentence_piece.h"
#include "text/tokenizer.h"
#include "text/vocabularies.h"

namespace tern::text {
namespace {

constexpr std::size_t kMegabyte = 1 << 20;

// Merges that make runs of one byte into tokens of up to 64 bytes, and some words.
Vocabulary runs_vocabulary(std::string pre_tokenizer) {
  Vocabulary v = byte_vocabulary(std::move(pre_tokenizer));
  v.add_bos = false;
  for (const std::string byte : {"a", " ", "\n", "\xF0"}) {
    for (std::string run = byte; run.size() < 64; run += run) add_merge(v, run, run);
  }
  for (const char* pair : {"ab", "ba", "bc", "cb", "ca"}) {
    add_merge(v, std::string(1, pair[0]), std::string(1, pair[1]));
  }
  add_merge(v, "ab", "c");
  add_merge(v, "abc", "ab");
  return v;
}

std::string repeat(std::string_view unit, std::size_t size) {
  std::string out;
  while (out.size() < size) out += unit;
  return out;
}

TEST(LinearTime, StepsOfBpeGrowWithTheTextNotItsSquare) {
  const Vocabulary v = runs_vocabulary("gpt-2");
  MergeTable table(v.merges.size());
  for (const Merge& m : v.merges) ASSERT_TRUE(table.insert(m));
  for (const char* unit : {"a", " ", "ab", "abc", "aab", "cab", "\xF0", "xyz"}) {
    const auto steps = [&](std::size_t size) {
      BpeEncoder encoder;
      std::vector<TokenId> out;
      encoder.encode(table, ids_of_bytes(repeat(unit, size)), out);
      return encoder.steps();
    };
    const auto one = steps(kMegabyte / 4);
    const auto two = steps(kMegabyte / 2);
    EXPECT_LE(two, 2 * one + one / 100) << unit;
    EXPECT_LE(one, 2 * kMegabyte) << unit;
  }
}

TEST(LinearTime, AMegabyteOfAnything) {
  for (const char* pre_tokenizer : {"gpt-2", "llama-bpe", "falcon"}) {
    const auto tokenizer = Tokenizer::create(runs_vocabulary(pre_tokenizer));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
    for (const char* unit :
         {"a", "1", "!", " ", "\n", " \n", "\n ", "\xF0", "\u3000", "'s", " !\n", "! "}) {
      const std::string text = repeat(unit, kMegabyte) + "x";
      EXPECT_TRUE(tokenizer->decode(tokenizer->encode(text)) == text) << pre_tokenizer << unit;
    }
  }
}

// Runs of one character up to 64 long, words, and characters that are no tokens.
Vocabulary runs_of_pieces() {
  Vocabulary v = sentence_piece_vocabulary();
  float score = 0;
  for (const std::string character : {"a", " ", "\n", "海"}) {
    for (std::string run = character; run.size() <= 64 * character.size(); run += character) {
      add_piece(v, run, --score);
    }
  }
  for (const char* piece : {"ab", "ba", "abab", "cé", "abcé"}) add_piece(v, piece, --score);
  return v;
}

TEST(LinearTime, StepsOfSentencePieceGrowWithTheTextNotItsSquare) {
  const Vocabulary v = runs_of_pieces();
  TokenIndex words(v.tokens.size());
  for (std::size_t i = 256; i < v.tokens.size(); ++i) {
    words.insert(v.tokens[i].bytes, static_cast<TokenId>(i));
  }
  const auto model = SentencePieceBpe::create(v.tokens, words);
  ASSERT_TRUE(model.ok()) << model.error().to_string();
  for (const char* unit : {"a", " ", "ab", "海", "cé", "abcé", "\xF0", "xyz"}) {
    const auto steps = [&](std::size_t size) {
      BpeEncoder encoder;
      std::vector<TokenId> out;
      (*model)->encode(repeat(unit, size), encoder, out);
      return encoder.steps();
    };
    const auto one = steps(kMegabyte / 4);
    const auto two = steps(kMegabyte / 2);
    EXPECT_LE(two, 2 * one + one / 100) << unit;
    EXPECT_LE(one, 2 * kMegabyte) << unit;
  }
}

TEST(LinearTime, AMegabyteOfAnythingForSentencePiece) {
  Vocabulary v = runs_of_pieces();
  add_token(v, "<|" + std::string(1000, '|') + ">", TokenKind::kUserDefined);
  const auto tokenizer = Tokenizer::create(std::move(v));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  for (const char* unit : {"a", " ", "\n", "海", "\xF0", "\xE2\x96", "<|", "|", "é", "cé"}) {
    const std::string text = repeat(unit, kMegabyte) + "x";
    EXPECT_TRUE(tokenizer->decode(tokenizer->encode(text)) == text) << unit;
  }
}

TEST(LinearTime, BeginningsOfSpecialTokens) {
  Vocabulary v = byte_vocabulary();
  const std::string name = "<" + std::string(1000, '|') + ">";
  add_token(v, name, TokenKind::kControl);
  add_token(v, "<|", TokenKind::kUserDefined);
  const auto tokenizer = Tokenizer::create(std::move(v));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  EncodeOptions options;
  options.parse_special = true;
  for (const char* unit : {"<", "|", "<|", "<||||||||"}) {
    const std::string text = repeat(unit, kMegabyte);
    EXPECT_TRUE(tokenizer->decode(tokenizer->encode(text, options), true) == text) << unit;
  }
}

}  // namespace
}  // namespace tern::text
