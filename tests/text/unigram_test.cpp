#include "text/unigram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "text/tokenizer.h"

namespace tern::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Vocabulary vocabulary_of(std::vector<Token> tokens, std::optional<TokenId> unknown) {
  Vocabulary v;
  v.model = TokenizerModel::kUnigram;
  v.tokens = std::move(tokens);
  v.add_space_prefix = false;
  v.unknown = unknown;
  return v;
}

Tokenizer make(Vocabulary v) {
  auto made = Tokenizer::create(std::move(v));
  if (!made) throw std::runtime_error(made.error().to_string());
  return std::move(*made);
}

Token piece(std::string bytes, float score) {
  return {std::move(bytes), TokenKind::kNormal, score};
}

const Token kUnknownToken{"<unk>", TokenKind::kUnknown, 0.0f};

TEST(Unigram, TakesTheLargestSumOfScores) {
  const auto t = make(vocabulary_of({kUnknownToken, piece("a", -1), piece("b", -1), piece("ab", -3),
                                     piece("abc", -5), piece("c", -2.5f)},
                                    0));
  EXPECT_THAT(t.encode("ab"), ElementsAre(1, 2));      // -2 before -3
  EXPECT_THAT(t.encode("abc"), ElementsAre(1, 2, 5));  // -4.5 before -5 and -5.5
}

TEST(Unigram, UnknownCharactersThatFollowEachOtherAreOneToken) {
  const auto t = make(vocabulary_of({kUnknownToken, piece("a", -1)}, 0));
  EXPECT_THAT(t.encode("äöaßa"), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(t.encode("\xff\xfe"), ElementsAre(0));
  EXPECT_THAT(t.encode(""), ElementsAre());
}

TEST(Unigram, ATokenOfTheUserWinsWhateverItsScore) {
  const auto t = make(vocabulary_of({kUnknownToken,
                                     piece("a", -1),
                                     piece("b", -1),
                                     piece("ab", -0.5f),
                                     {"ba", TokenKind::kUserDefined, -100}},
                                    0));
  EXPECT_THAT(t.encode("aba"), ElementsAre(1, 4));
}

// Sums begin again before they lose what tells two cuts apart: at 27 million floats are 2 apart,
// and two tokens of -0.9 seem to cost nothing.
TEST(Unigram, ALongTextIsCutAsAShortOne) {
  const auto t = make(
      vocabulary_of({kUnknownToken, piece("a", -90.0f), piece("b", -0.9f), piece("bb", -1.5f)}, 0));
  const auto ids = t.encode(std::string(300'000, 'a') + "bb");
  ASSERT_EQ(ids.size(), 300'001u);
  EXPECT_EQ(ids.back(), 3);
}

// As in the library: a sum of 100,000 goes on, where floats are 1/128 apart.
TEST(Unigram, SumsBeginAgainBeyondALimitAndNotAtIt) {
  const auto t = make(vocabulary_of(
      {kUnknownToken, piece("a", -100.0f), piece("b", -0.004f), piece("bb", -0.0085f)}, 0));
  EXPECT_EQ(t.encode(std::string(1000, 'a') + "bb").back(), 3);
  EXPECT_EQ(t.encode(std::string(1001, 'a') + "bb").back(), 2);
}

TEST(Unigram, UnknownCharactersBecomeTheirBytes) {
  std::vector<Token> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back({std::string(1, static_cast<char>(byte)), TokenKind::kByte, 0});
  }
  tokens.push_back(piece("a", -1));
  const auto t = make(vocabulary_of(tokens, std::nullopt));
  EXPECT_THAT(t.encode("aä"), ElementsAre(256, 0xc3, 0xa4));
  EXPECT_EQ(t.decode(t.encode("aäa\xff")), "aäa\xff");
  tokens.erase(tokens.begin() + 7);
  const auto refused = Tokenizer::create(vocabulary_of(tokens, 0));
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().to_string(), HasSubstr("one byte token for each of the 256 bytes"));
}

TEST(Unigram, RefusesAVocabularyThatCannotSayWhatIsUnknown) {
  const auto refused = Tokenizer::create(vocabulary_of({piece("a", -1)}, std::nullopt));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(refused.error().to_string(),
            "key 'tokenizer.ggml.unknown_token_id': expected an id, as there are no byte tokens, "
            "found no such key");
  const auto longest =
      Tokenizer::create(vocabulary_of({kUnknownToken, piece(std::string(1025, 'a'), -1)}, 0));
  ASSERT_FALSE(longest.ok());
  EXPECT_EQ(longest.error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(
      Tokenizer::create(vocabulary_of({kUnknownToken, piece(std::string(1024, 'a'), -1)}, 0)).ok());
  const auto twice = Tokenizer::create(
      vocabulary_of({kUnknownToken, piece("a", -1), {"a", TokenKind::kUserDefined, 0}}, 0));
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(twice.error().to_string(), HasSubstr("expected each text once"));
}

// The definition: of all cuts the one of the largest sum.
float best_sum(const std::vector<Token>& tokens, std::string_view text) {
  float best = text.empty() ? 0.0f : -1000.0f;
  for (const Token& token : tokens) {
    if (token.kind != TokenKind::kNormal || !text.starts_with(token.bytes)) continue;
    best = std::max(best, token.score + best_sum(tokens, text.substr(token.bytes.size())));
  }
  return best;
}

TEST(Unigram, FindsTheBestOfAllCuts) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<Token> tokens{kUnknownToken, piece("a", -7), piece("b", -5)};
    for (const char* bytes : {"ab", "ba", "aa", "bb", "aba", "abb", "bab"}) {
      if (random() % 2 == 0) tokens.push_back(piece(bytes, -static_cast<float>(random() % 60) / 4));
    }
    std::string text;
    for (int i = 0; i < 9; ++i) text += "ab"[random() % 2];
    const auto t = make(vocabulary_of(tokens, 0));
    const auto ids = t.encode(text);
    float sum = 0.0f;
    for (const TokenId id : ids) sum += tokens[static_cast<std::size_t>(id)].score;
    ASSERT_EQ(t.decode(ids), text);
    ASSERT_EQ(sum, best_sum(tokens, text)) << text;
  }
}

}  // namespace
}  // namespace tern::text
