#include "text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tern::text {
namespace {

using testing::ElementsAre;
using Pieces = std::vector<std::string>;

Pieces split(std::string_view name, std::string_view text) {
  std::vector<std::size_t> ends;
  find_pre_tokenizer(name)->split(text, ends);
  Pieces out;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    EXPECT_LT(begin, end);
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return out;
}

Pieces gpt2(std::string_view text) { return split("gpt-2", text); }
Pieces llama(std::string_view text) { return split("llama-bpe", text); }
Pieces falcon(std::string_view text) { return split("falcon", text); }

TEST(PreTokenizer, IsFoundByTheNamesOfTheFiles) {
  for (const char* name : {"gpt-2", "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon"}) {
    ASSERT_NE(find_pre_tokenizer(name), nullptr) << name;
    EXPECT_EQ(find_pre_tokenizer(name)->name, name);
    EXPECT_NE(pre_tokenizer_names().find(name), std::string::npos);
  }
  EXPECT_EQ(pre_tokenizer_names(),
            "gpt-2, llama-bpe, llama3, llama-v3, falcon3, falcon, qwen2, olmo");
  for (const char* name : {"", "default", "gpt2", "GPT-2", "llama-bpe "}) {
    EXPECT_EQ(find_pre_tokenizer(name), nullptr) << name;
  }
}

TEST(PreTokenizer, NothingForNoText) {
  EXPECT_THAT(gpt2(""), ElementsAre());
  EXPECT_THAT(llama(""), ElementsAre());
  EXPECT_THAT(falcon(""), ElementsAre());
}

TEST(PreTokenizerGpt2, WordsTakeOneSpace) {
  EXPECT_THAT(gpt2("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(gpt2("a  b"), ElementsAre("a", " ", " b"));
  EXPECT_THAT(gpt2("x 1234567 !?"), ElementsAre("x", " 1234567", " !?"));
  EXPECT_THAT(gpt2("astir"), ElementsAre("astir"));  // no contraction without its apostrophe
  EXPECT_THAT(gpt2("a1!é2"), ElementsAre("a", "1", "!", "é", "2"));
}

TEST(PreTokenizerGpt2, SpacesBeforeAWordLeaveItTheLastOne) {
  EXPECT_THAT(gpt2("a \n\tb"), ElementsAre("a", " \n", "\t", "b"));
  EXPECT_THAT(gpt2("a\nb"), ElementsAre("a", "\n", "b"));
  EXPECT_THAT(gpt2("\u00a0\u3000b"), ElementsAre("\u00a0", "\u3000", "b"));
  EXPECT_THAT(gpt2("a \n "), ElementsAre("a", " \n "));
  EXPECT_THAT(gpt2("   "), ElementsAre("   "));
}

TEST(PreTokenizerGpt2, ContractionsInLowerCaseOnly) {
  EXPECT_THAT(gpt2("it's we're 'tis"), ElementsAre("it", "'s", " we", "'re", " '", "tis"));
  EXPECT_THAT(gpt2("'sx'tx'rex'vex'mx'llx'dx"), ElementsAre("'s", "x", "'t", "x", "'re", "x", "'ve",
                                                            "x", "'m", "x", "'ll", "x", "'d", "x"));
  EXPECT_THAT(gpt2("IT'S"), ElementsAre("IT", "'", "S"));
  EXPECT_THAT(gpt2("'ſ"), ElementsAre("'", "ſ"));
  EXPECT_THAT(gpt2("'r'v'l'x'"), ElementsAre("'", "r", "'", "v", "'", "l", "'", "x", "'"));
  EXPECT_THAT(gpt2("''s"), ElementsAre("''", "s"));
}

TEST(PreTokenizerLlama3, ContractionsInAnyCase) {
  EXPECT_THAT(llama("it's IT'S"), ElementsAre("it", "'s", " IT", "'S"));
  EXPECT_THAT(
      llama("'Sx'Tx'rEx'VEx'Mx'lLx'Dx"),
      ElementsAre("'S", "x", "'T", "x", "'rE", "x", "'VE", "x", "'M", "x", "'lL", "x", "'D", "x"));
  EXPECT_THAT(llama("'ſt"), ElementsAre("'ſ", "t"));
  EXPECT_THAT(llama("'xs 'r 'lx"), ElementsAre("'xs", " '", "r", " '", "lx"));
  EXPECT_THAT(llama("'le'rl"), ElementsAre("'le", "'rl"));
}

TEST(PreTokenizerLlama3, LettersTakeOneCharacterBeforeThem) {
  EXPECT_THAT(llama("a b\tc_d!e"), ElementsAre("a", " b", "\tc", "_d", "!e"));
  EXPECT_THAT(llama("\u00a0a\u2028b\u0301c"), ElementsAre("\u00a0a", "\u2028b", "\u0301c"));
  EXPECT_THAT(llama("1a"), ElementsAre("1", "a"));
  EXPECT_THAT(llama("\na\rb"), ElementsAre("\n", "a", "\r", "b"));
  EXPECT_THAT(llama(" !a"), ElementsAre(" !", "a"));
  EXPECT_THAT(llama("!!a"), ElementsAre("!!", "a"));
}

TEST(PreTokenizerLlama3, NumbersInThrees) {
  EXPECT_THAT(llama("1234567"), ElementsAre("123", "456", "7"));
  EXPECT_THAT(llama("12"), ElementsAre("12"));
  EXPECT_THAT(llama(" 12²½"), ElementsAre(" ", "12²", "½"));
  EXPECT_THAT(llama("123a"), ElementsAre("123", "a"));
}

TEST(PreTokenizerLlama3, OthersTakeOneSpaceAndTheLineBreaks) {
  EXPECT_THAT(llama("x ...\r\n\n y"), ElementsAre("x", " ...\r\n\n", " y"));
  EXPECT_THAT(llama("! \n"), ElementsAre("!", " \n"));
  EXPECT_THAT(llama("\t!"), ElementsAre("\t", "!"));
  EXPECT_THAT(llama("  !"), ElementsAre(" ", " !"));
}

TEST(PreTokenizerLlama3, SpacesEndAtTheirLastLineBreak) {
  EXPECT_THAT(llama("a \n \n  b"), ElementsAre("a", " \n \n", " ", " b"));
  EXPECT_THAT(llama("a\r\n\r\n\tb"), ElementsAre("a", "\r\n\r\n", "\tb"));
  EXPECT_THAT(llama("a  \n"), ElementsAre("a", "  \n"));
  EXPECT_THAT(llama("a   "), ElementsAre("a", "   "));
  EXPECT_THAT(llama("a   1"), ElementsAre("a", "  ", " ", "1"));
  EXPECT_THAT(llama("a \u2028\u2029b"), ElementsAre("a", " \u2028", "\u2029b"));
}

TEST(PreTokenizerFalcon, PunctuationStandsAlone) {
  EXPECT_THAT(falcon("it's a--b ...c"),
              ElementsAre("it", "'", "s", " a", "--", "b", " ", "...", "c"));
  EXPECT_THAT(falcon("a$b`c` €1×2"),
              ElementsAre("a", "$", "b", "`", "c", "`", " €", "1", "×", "2"));
  EXPECT_THAT(falcon("a、b！"), ElementsAre("a", "、", "b", "！"));
  EXPECT_THAT(falcon("!"), ElementsAre("!"));
}

TEST(PreTokenizerFalcon, PiecesBetweenPunctuationAreTextsOfTheirOwn) {
  EXPECT_THAT(falcon("a,  b"), ElementsAre("a", ",", " ", " b"));
  EXPECT_THAT(falcon("a  ,b"), ElementsAre("a", "  ", ",", "b"));
  EXPECT_THAT(falcon("x\n\n,\n y"), ElementsAre("x", "\n\n", ",", "\n", " y"));
}

TEST(PreTokenizerFalcon, DigitsInThrees) {
  EXPECT_THAT(falcon("12345 123 12"), ElementsAre("123", "45", " ", "123", " 12"));
  EXPECT_THAT(falcon("1234567"), ElementsAre("123", "456", "7"));
  EXPECT_THAT(falcon("900109"), ElementsAre("900", "109"));
  EXPECT_THAT(falcon("12٤"), ElementsAre("12٤"));
  EXPECT_THAT(falcon("٤123٤"), ElementsAre("٤", "123", "٤"));
  EXPECT_THAT(falcon("١٢٣٤ 3.1415"), ElementsAre("١٢٣٤", " 3", ".", "141", "5"));
}

TEST(PreTokenizer, BytesThatAreNoUtf8AreOthers) {
  EXPECT_THAT(gpt2("a\xFF\xE6\xB5 b"), ElementsAre("a", "\xFF\xE6\xB5", " b"));
  EXPECT_THAT(llama("a\xFF"
                    "b\xE6\xB5"
                    "c"),
              ElementsAre("a",
                          "\xFF"
                          "b",
                          "\xE6\xB5", "c"));
  EXPECT_THAT(gpt2("'\xC5"), ElementsAre("'\xC5"));
  EXPECT_THAT(llama(" \xF0\x9F\n"), ElementsAre(" \xF0\x9F\n"));
}

}  // namespace
}  // namespace tern::text
