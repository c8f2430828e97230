// tokenizer.model of SentencePiece, written here field by field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "convert/vocabulary.h"

namespace tern::convert {
namespace {

using ::testing::HasSubstr;
using text::TokenizerModel;
using text::TokenKind;

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string number(unsigned field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}
std::string bytes(unsigned field, const std::string& value) {
  return varint(field << 3 | 2) + varint(value.size()) + value;
}
std::string real(unsigned field, float value) {
  std::string out = varint(field << 3 | 5);
  char raw[4];
  std::memcpy(raw, &value, 4);
  return out.append(raw, 4);
}
std::string piece(const std::string& token, float score, unsigned kind = 1) {
  return bytes(1, bytes(1, token) + real(2, score) + number(3, kind));
}
// -1 as protobuf writes it for 32 bits.
constexpr std::uint64_t kNone = ~std::uint64_t{0};

std::string message(const Result<HfVocabulary>& read) {
  return read.ok() ? "accepted" : read.error().to_string();
}

const std::string kNoNormalizing = bytes(3, number(3, 1) + number(4, 0));

TEST(SentencePieceModel, GivesPiecesScoresAndIds) {
  const std::string model =
      piece("<unk>", 0.0f, 2) + piece("<s>", 0.0f, 3) + piece("\u2581a", -1.5f) +
      piece("<0x0A>", 0.0f, 6) +
      bytes(2, number(3, 2) + number(40, 0) + number(41, 1) + number(42, kNone) + number(43, 3)) +
      bytes(3, number(3, 0) + number(4, 0));
  const auto read = read_sentence_piece_model(model, "file");
  ASSERT_TRUE(read.ok()) << message(read);
  EXPECT_EQ(read->model, TokenizerModel::kSentencePiece);
  EXPECT_EQ(read->tokens, (std::vector<std::string>{"<unk>", "<s>", "\u2581a", "<0x0A>"}));
  EXPECT_EQ(read->kinds, (std::vector<TokenKind>{TokenKind::kUnknown, TokenKind::kControl,
                                                 TokenKind::kNormal, TokenKind::kByte}));
  EXPECT_EQ(read->scores[2], -1.5f);
  EXPECT_EQ(read->unknown, 0u);
  EXPECT_EQ(read->bos, 1u);
  EXPECT_FALSE(read->eos);
  EXPECT_EQ(read->pad, 3u);
  EXPECT_FALSE(read->add_space_prefix);
}

TEST(SentencePieceModel, HasTheDefaultsOfTheMessage) {
  const std::string model =
      piece("<unk>", 0.0f, 2) + piece("a", -1.0f) + bytes(2, "") + kNoNormalizing;
  const auto read = read_sentence_piece_model(model, "file");
  ASSERT_TRUE(read.ok()) << message(read);
  EXPECT_EQ(read->model, TokenizerModel::kUnigram);
  EXPECT_EQ(read->bos, 1u);
  EXPECT_FALSE(read->eos);  // 2, of two pieces
  EXPECT_TRUE(read->add_space_prefix);
}

TEST(SentencePieceModel, RefusesWhatItDoesNotDo) {
  const std::string start = piece("a", 0.0f);
  for (const auto& [model, words] : std::vector<std::pair<std::string, std::string>>{
           {bytes(2, number(3, 4)), "a model type of 1 (unigram) or 2 (BPE), found 4"},
           {bytes(2, number(24, 1)), "treat_whitespace_as_suffix"},
           {bytes(3, bytes(2, "map")), "precompiled_charsmap"},
           {bytes(3, ""), "remove_extra_whitespaces"},
           {bytes(3, number(4, 0) + number(5, 0)), "does not write spaces as U+2581"},
           {piece("b", 0.0f, 0), "piece 1: expected a type of 1 to 6, found 0"},
           {piece("b", 0.0f, 7), "piece 1: expected a type of 1 to 6, found 7"},
           {piece("b", std::numeric_limits<float>::infinity()), "piece 1: its score is no number"},
           {piece("\xff", 0.0f), "piece 1: expected UTF-8"},
           {varint(1u << 3 | 3), "expected a wire type"},
           {std::string(11, '\xff'), "a number of more than 64 bits"},
       }) {
    EXPECT_THAT(message(read_sentence_piece_model(start + model, "file")), HasSubstr(words));
  }
}

// As SentencePiece may add some: unknown numbers, and known ones of other types.
TEST(SentencePieceModel, LeavesFieldsThatItDoesNotKnow) {
  const std::string fixed64 = varint(10u << 3 | 1) + std::string(8, 'x');
  const std::string known = bytes(1, "a") + real(2, -1.0f) + number(3, 4);
  const std::string unknown = bytes(9, "zz") + real(9, 7.0f) + number(9, 5) + fixed64;
  const std::string of_other_types = number(1, 5) + number(2, 9) + bytes(3, "q");
  const std::string model =
      piece("<unk>", 0.0f, 2) + bytes(1, known + unknown + of_other_types) + number(1, 7) +
      piece("b", 0.0f) +
      bytes(2, number(3, 2) + number(24, 0) + number(40, 2) + bytes(40, "x") + number(41, 0)) +
      bytes(3, number(3, 1) + number(4, 0) + bytes(2, "") + bytes(7, "x") + bytes(3, ""));
  const auto read = read_sentence_piece_model(model, "file");
  ASSERT_TRUE(read.ok()) << message(read);
  EXPECT_EQ(read->tokens, (std::vector<std::string>{"<unk>", "a", "b"}));
  EXPECT_EQ(read->scores[1], -1.0f);
  EXPECT_EQ(read->kinds[1], TokenKind::kUserDefined);
  EXPECT_EQ(read->unknown, 2u);
  EXPECT_EQ(read->bos, 0u);
  EXPECT_TRUE(read->add_space_prefix);
}

TEST(SentencePieceModel, IsRefusedWhereverItIsCut) {
  const std::string model = piece("abc", -2.0f) + bytes(2, number(3, 2)) + kNoNormalizing;
  ASSERT_TRUE(read_sentence_piece_model(model, "file").ok());
  const std::size_t ends[] = {piece("abc", -2.0f).size(),
                              piece("abc", -2.0f).size() + bytes(2, number(3, 2)).size()};
  for (std::size_t size = 0; size < model.size(); ++size) {
    if (size == ends[0] || size == ends[1]) continue;  // between two fields
    EXPECT_FALSE(read_sentence_piece_model(std::string_view(model).substr(0, size), "file").ok())
        << size;
  }
}

}  // namespace
}  // namespace tern::convert
