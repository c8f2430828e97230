#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>

#include "diagnose/synth/vocabulary.h"
#include "support/temporary_directory.h"
#include "text/tokenizer.h"

namespace tern::diagnose {
namespace {

class SynthVocabulary : public ::testing::Test {
 protected:
  text::Tokenizer tokenizer(std::uint32_t size) {
    format::GgufWriter writer;
    write_synth_vocabulary(size, writer);
    const auto path = directory_ / "vocabulary.gguf";
    if (auto written = writer.write(path); !written) {
      throw std::runtime_error(written.error().to_string());
    }
    const auto file = format::GgufFile::open(path);
    if (!file) throw std::runtime_error(file.error().to_string());
    auto tokenizer = text::Tokenizer::from_gguf(*file);
    if (!tokenizer) throw std::runtime_error(tokenizer.error().to_string());
    return std::move(*tokenizer);
  }

  test::TemporaryDirectory directory_;
};

TEST_F(SynthVocabulary, HasTheIdsOfLlama3) {
  const auto vocabulary = tokenizer(128256);
  EXPECT_EQ(vocabulary.vocab_size(), 128256u);
  EXPECT_EQ(vocabulary.bos(), 128000);
  EXPECT_EQ(vocabulary.eos(), 128001);
  EXPECT_EQ(vocabulary.eot(), 128009);
  EXPECT_TRUE(vocabulary.adds_bos());
  EXPECT_EQ(vocabulary.token_bytes(128009), "<|eot_id|>");
  EXPECT_FALSE(vocabulary.is_special(127999));
  EXPECT_TRUE(vocabulary.is_special(128255));
}

TEST_F(SynthVocabulary, AnyTextSurvivesInAnySize) {
  std::string text = "The king had three daughters;\n\xe2\x82\xac 7 \xff ";
  for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
  for (const std::uint32_t size : {513u, 700u, 32002u, 128256u, kLargestSynthVocabulary}) {
    const auto vocabulary = tokenizer(size);
    EXPECT_EQ(vocabulary.vocab_size(), size);
    EXPECT_EQ(vocabulary.decode(vocabulary.encode(text)), text) << size;
  }
  const auto words = tokenizer(128256).encode("the nation that is in the stone hands");
  EXPECT_LT(words.size(), 37u * 2 / 3);  // it merges
}

TEST_F(SynthVocabulary, NoTokenOccursTwice) {
  const auto vocabulary = tokenizer(kLargestSynthVocabulary);
  std::set<std::string_view> seen;
  for (std::uint32_t id = 0; id < kLargestSynthVocabulary; ++id) {
    EXPECT_TRUE(seen.insert(vocabulary.token_bytes(static_cast<text::TokenId>(id))).second) << id;
  }
}

}  // namespace
}  // namespace tern::diagnose
