#include "text/sentence_piece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "text/stream_decoder.h"
#include "text/tokenizer.h"
#include "text/utf8.h"
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

EncodeOptions parsing() { return {.parse_special = true}; }

void expect_refused(Vocabulary v, ErrorCode code, const std::string& message) {
  const auto made = Tokenizer::create(std::move(v));
  ASSERT_FALSE(made.ok()) << message;
  EXPECT_EQ(made.error().code, code);
  EXPECT_EQ(made.error().context, "key 'tokenizer.ggml.tokens'");
  EXPECT_THAT(made.error().message, HasSubstr(message));
}

// The definition: again and again the two neighbours whose text is the token of the highest score,
// the leftmost of equals; the bytes of what is no token in the end.
std::vector<TokenId> by_definition(const Vocabulary& v, std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = next_utf8(text, at).length;
    parts.emplace_back(text.substr(at, length));
    at += length;
  }
  const auto token_of = [&](const std::string& part) -> TokenId {
    for (std::size_t i = 256; i < v.tokens.size(); ++i) {
      if (v.tokens[i].bytes == part) return static_cast<TokenId>(i);
    }
    return -1;
  };
  while (true) {
    std::size_t where = parts.size();
    float best = 0.0f;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const TokenId token = token_of(parts[i] + parts[i + 1]);
      if (token < 0) continue;
      const float score = v.tokens[static_cast<std::size_t>(token)].score;
      if (where == parts.size() || score > best) {
        where = i;
        best = score;
      }
    }
    if (where == parts.size()) break;
    parts[where] += parts[where + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
  std::vector<TokenId> out;
  for (const std::string& part : parts) {
    if (const TokenId token = token_of(part); token >= 0) {
      out.push_back(token);
    } else {
      for (const TokenId byte : ids_of_bytes(part)) out.push_back(byte);
    }
  }
  return out;
}

TEST(SentencePiece, EqualsItsDefinitionOnRandomVocabularies) {
  std::mt19937 random(5);
  const char* characters[] = {"a", "b", "é", "海", " "};
  for (int round = 0; round < 200; ++round) {
    Vocabulary v = sentence_piece_vocabulary();
    v.add_space_prefix = false;
    for (int i = 0; i < 40; ++i) {
      std::string piece;
      for (auto n = 1 + random() % 5; n > 0; --n) piece += characters[random() % 5];
      if (id_of(v, piece) < 0) add_piece(v, piece, -static_cast<float>(random() % 20));
    }
    const Tokenizer t = make(v);
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (auto n = random() % 30; n > 0; --n) text += characters[random() % 5];
      ASSERT_EQ(t.encode(text), by_definition(v, text)) << text;
      ASSERT_EQ(t.decode(t.encode(text)), text);
    }
  }
}

TEST(SentencePiece, TheHighestScoreGoesFirst) {
  Vocabulary v = sentence_piece_vocabulary();
  v.add_space_prefix = false;
  const TokenId ab = add_piece(v, "ab", -2);
  const TokenId bc = add_piece(v, "bc", -1);
  const TokenId a = add_piece(v, "a", -9);
  const Tokenizer t = make(std::move(v));
  EXPECT_THAT(t.encode("abc"), ElementsAre(a, bc));
  EXPECT_THAT(t.encode("abab"), ElementsAre(ab, ab));
  EXPECT_THAT(t.encode("c"), ElementsAre('c'));  // its byte
}

TEST(SentencePiece, CharactersThatAreNoTokensStillMakeSome) {
  Vocabulary v = sentence_piece_vocabulary();
  v.add_space_prefix = false;
  const TokenId cafe = add_piece(v, "né", -1);
  const Tokenizer t = make(std::move(v));
  EXPECT_THAT(t.encode("né"), ElementsAre(cafe));
  EXPECT_THAT(t.encode("én"), ElementsAre(0xC3, 0xA9, 'n'));
}

TEST(SentencePiece, ATextBeginsWithASpaceOfItsOwn) {
  Vocabulary v = sentence_piece_vocabulary();
  const TokenId space = add_piece(v, " ", -5);
  const TokenId space_a = add_piece(v, " a", -1);
  const Tokenizer with = make(v);
  EXPECT_THAT(with.encode(""), ElementsAre());
  EXPECT_THAT(with.encode("a a"), ElementsAre(space_a, space_a));
  EXPECT_THAT(with.encode(" a"), ElementsAre(space, space_a));
  EXPECT_THAT(with.encode(" "), ElementsAre(space, space));
  EXPECT_EQ(with.decode(std::vector{space_a, space_a}), "a a");
  EXPECT_EQ(with.decode(std::vector<TokenId>{'x', space_a}), "x a");
  v.add_space_prefix = false;
  const Tokenizer without = make(v);
  EXPECT_THAT(without.encode("a a"), ElementsAre('a', space_a));
  EXPECT_EQ(without.decode(std::vector{space_a}), " a");
}

TEST(SentencePiece, WhatFollowsASpecialTokenBeginsAnew) {
  Vocabulary v = sentence_piece_vocabulary();
  const TokenId space_a = add_piece(v, " a", -1);
  const TokenId mark = add_token(v, "<s>", TokenKind::kControl);
  const TokenId user = add_token(v, "<u>", TokenKind::kUserDefined);
  const Tokenizer t = make(std::move(v));
  EXPECT_THAT(t.encode("a<s>a<u>a", parsing()), ElementsAre(space_a, mark, space_a, user, 'a'));
  EXPECT_THAT(t.encode("<s><s>", parsing()), ElementsAre(mark, mark));
  EXPECT_THAT(t.encode("<s>"), ElementsAre(' ', '<', 's', '>'));
  EXPECT_THAT(t.encode("<u>a"), ElementsAre(' ', user, 'a'));
  for (const char* text : {"a<s>a<u>a", "<s> a<u> a ", "<u>", " <u>", "<s>", "  "}) {
    EXPECT_EQ(t.decode(t.encode(text, parsing()), true), text);
    EXPECT_EQ(t.decode(t.encode(text)), text);
  }
  EXPECT_EQ(t.decode(t.encode("a<s>a", parsing())), "aa");
}

// No text becomes a control or byte token by its name, and none becomes an unused one.
TEST(SentencePiece, NamesAreNoText) {
  Vocabulary v = sentence_piece_vocabulary();
  v.add_space_prefix = false;
  const TokenId s = add_piece(v, "<s", -1);
  add_token(v, "<s>", TokenKind::kControl);
  add_token(v, "<p>", TokenKind::kUnused);
  const Tokenizer t = make(std::move(v));
  EXPECT_THAT(t.encode("<s>"), ElementsAre(s, '>'));
  EXPECT_THAT(t.encode("<p>", parsing()), ElementsAre('<', 'p', '>'));
  EXPECT_THAT(t.encode("<0x0A>", parsing()), ElementsAre('<', '0', 'x', '0', 'A', '>'));
}

TEST(SentencePiece, AnyBytesRoundTrip) {
  Vocabulary v = sentence_piece_vocabulary();
  for (const char* piece : {" ", " a", "  ", "é", "a\xC3\xA9", "海海"}) {
    add_piece(v, piece, -static_cast<float>(v.tokens.size()));
  }
  add_token(v, " <u>", TokenKind::kUserDefined);
  const Tokenizer t = make(std::move(v));
  std::mt19937 random(6);
  const char* parts[] = {" ", "a", "é", "海", "\xE6\xB5", "\xFF", "\xE2\x96", "<u>", "\n"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (auto n = random() % 20; n > 0; --n) text += parts[random() % 9];
    if (random() % 4 == 0) text += '\0';
    ASSERT_EQ(t.decode(t.encode(text)), text);
  }
  EXPECT_THAT(t.encode("\xFF"), ElementsAre(256, 0xFF));
  EXPECT_EQ(t.decode(t.encode("a\u2581b")), "a b");  // as documented
  EXPECT_EQ(t.encode("a\u2581b"), t.encode("a b"));
}

TEST(SentencePiece, ByteTokensAreTextNotSpecial) {
  const Tokenizer t = make(sentence_piece_vocabulary());
  EXPECT_FALSE(t.is_special('a'));
  EXPECT_EQ(t.token_bytes('\n'), "\n");
  EXPECT_EQ(t.decode(std::vector<TokenId>{'a', 0xFF, 256, -1, ' '}), "a\xFF ");
}

TEST(SentencePiece, StreamsDropTheSpaceOnlyWhereATextBegins) {
  Vocabulary v = sentence_piece_vocabulary();
  const TokenId space_a = add_piece(v, " a", -1);
  const TokenId mark = add_token(v, "<s>", TokenKind::kControl);
  const Tokenizer t = make(std::move(v));
  StreamDecoder from_the_start(t);
  EXPECT_EQ(from_the_start.push(-1), "");
  EXPECT_EQ(from_the_start.push(space_a), "a");
  EXPECT_EQ(from_the_start.push(space_a), " a");
  EXPECT_EQ(from_the_start.push(mark), "");
  EXPECT_EQ(from_the_start.push(space_a), "a");
  EXPECT_EQ(from_the_start.finish(), "");
  EXPECT_EQ(from_the_start.push(space_a), "a");
  const std::vector<TokenId> prompt{mark, space_a};
  EXPECT_EQ(StreamDecoder(t, false, prompt).push(space_a), " a");
  EXPECT_EQ(StreamDecoder(t, false, std::span(prompt).first(1)).push(space_a), "a");
  StreamDecoder bytes(t, true);
  EXPECT_EQ(bytes.push(' '), "");
  EXPECT_EQ(bytes.push(0xC3), "");
  EXPECT_EQ(bytes.push(mark), "\uFFFD<s>");
  EXPECT_EQ(bytes.push(' '), "");
  EXPECT_EQ(bytes.push(0xC3), "");
  EXPECT_EQ(bytes.push(0xA9), "é");
}

TEST(SentencePiece, AddsBosUnlessTheFileSaysOtherwise) {
  Vocabulary v = sentence_piece_vocabulary();
  v.add_bos = std::nullopt;
  v.bos = add_token(v, "<s>", TokenKind::kControl);
  EXPECT_THAT(make(v).encode("a"), ElementsAre(*v.bos, ' ', 'a'));
  v.add_bos = false;
  EXPECT_THAT(make(v).encode("a"), ElementsAre(' ', 'a'));
}

TEST(SentencePiece, RefusesVocabulariesThatContradictThemselves) {
  Vocabulary v = sentence_piece_vocabulary();
  v.tokens[0xFE].kind = TokenKind::kNormal;
  expect_refused(v, ErrorCode::kMalformed, "for each of the 256 bytes, found none for '\\xfe'");
  v = sentence_piece_vocabulary();
  v.tokens.push_back({"a", TokenKind::kByte});
  expect_refused(v, ErrorCode::kMalformed, "found another for 'a'");
  v.tokens.back().bytes = std::string(1, '\0');  // again token 0
  expect_refused(v, ErrorCode::kMalformed, "found another for '\\x00'");
  v = sentence_piece_vocabulary();
  add_piece(v, "ab", -1);
  add_piece(v, "ab", -2);
  expect_refused(v, ErrorCode::kMalformed, "token 257: expected each token once, found 'ab'");
  v = sentence_piece_vocabulary();
  add_piece(v, std::string(1025, 'x'), -1);
  expect_refused(v, ErrorCode::kUnsupported, "token 256: expected at most 1024 bytes, found 1025");
  v.tokens.back().bytes.pop_back();
  EXPECT_TRUE(Tokenizer::create(v).ok());
}

}  // namespace
}  // namespace tern::text
