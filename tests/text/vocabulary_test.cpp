#include "text/vocabulary.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "format/gguf/gguf_writer.h"
#include "support/temporary_directory.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tern::text {
namespace {

using format::GgufWriterValue;
using testing::HasSubstr;
using Strings = std::vector<std::string>;
using Ints = std::vector<std::int32_t>;

std::string key_of(const std::string& key) { return "tokenizer.ggml." + key; }

// A file that holds only a vocabulary: the 256 bytes, "ab" (256), "Ġab" (257), two named tokens.
class VocabularyFile {
 public:
  VocabularyFile() {
    Strings tokens(256);
    for (char32_t c = 0; c < 0x200; ++c) {
      if (const auto byte = byte_of_character(c)) append_utf8(tokens[*byte], c);
    }
    for (const char* more : {"ab", "Ġab", "<s>", "<|eot_id|>"}) tokens.emplace_back(more);
    Ints kinds(260, 1);
    kinds[258] = kinds[259] = 3;
    set("model", std::string("gpt2"));
    set("pre", std::string("llama-bpe"));
    set("tokens", tokens);
    set("token_type", kinds);
    set("merges", Strings{"a b", "Ġ ab"});
    set("bos_token_id", std::uint32_t{258});
    set("eos_token_id", std::uint32_t{259});
  }

  template <typename T>
  T& get(const std::string& key) {
    return std::get<T>(values_.at(key));
  }
  VocabularyFile& set(const std::string& key, GgufWriterValue value) {
    values_[key] = std::move(value);
    return *this;
  }
  VocabularyFile& drop(const std::string& key) {
    values_.erase(key);
    return *this;
  }

  Result<Tokenizer> load() const {
    format::GgufWriter writer;
    writer.set("general.architecture", std::string("llama"));
    for (const auto& [key, value] : values_) writer.set(key_of(key), value);
    const auto written = writer.write(path());
    EXPECT_TRUE(written.ok()) << written.error().to_string();
    const auto file = format::GgufFile::open(path());
    EXPECT_TRUE(file.ok()) << file.error().to_string();
    return Tokenizer::from_gguf(*file);
  }
  std::filesystem::path path() const { return directory_ / "vocabulary.gguf"; }

 private:
  std::map<std::string, GgufWriterValue> values_;
  test::TemporaryDirectory directory_;
};

// One of SentencePiece: <unk>, <s>, the 256 bytes from id 2 on, "▁", "▁a" (259), "▁▁" for the user.
class PieceFile : public VocabularyFile {
 public:
  PieceFile() {
    Strings tokens{"<unk>", "<s>"};
    for (int byte = 0; byte < 256; ++byte) tokens.push_back(fmt::format("<0x{:02X}>", byte));
    for (const char* more : {"▁", "▁a", "▁▁"}) tokens.emplace_back(more);
    Ints kinds(tokens.size(), 6);
    std::vector<float> scores(tokens.size(), 0.0f);
    kinds[0] = 2;
    kinds[1] = 3;
    kinds[258] = kinds[259] = 1;
    kinds[260] = 4;
    scores[258] = -1.0f;
    scores[259] = -2.0f;
    for (const char* key : {"pre", "merges", "eos_token_id"}) drop(key);
    set("model", std::string("llama"));
    set("tokens", tokens);
    set("token_type", kinds);
    set("scores", scores);
    set("bos_token_id", std::uint32_t{1});
  }
};

void expect_refused(const VocabularyFile& file, const std::string& key, const std::string& message,
                    ErrorCode code = ErrorCode::kMalformed) {
  const auto tokenizer = file.load();
  ASSERT_FALSE(tokenizer.ok()) << key << ": " << message;
  EXPECT_EQ(tokenizer.error().code, code);
  EXPECT_EQ(tokenizer.error().context, file.path().string() + ": key 'tokenizer.ggml." + key + "'");
  EXPECT_THAT(tokenizer.error().message, HasSubstr(message));
}

// As the published BitNet-b1.58-2B-4T files are: no pre-tokenizer, Llama 3's vocabulary, of which
// these are its first tokens.
class Llama3File : public VocabularyFile {
 public:
  Llama3File() {
    drop("pre");
    auto& tokens = get<Strings>("tokens");
    for (std::size_t i = tokens.size(); i < 128000; ++i) tokens.push_back(fmt::format("!!{}", i));
    get<Ints>("token_type").resize(128000, 1);
  }
  Llama3File& add_control(const char* name) {
    get<Strings>("tokens").emplace_back(name);
    get<Ints>("token_type").push_back(3);
    return *this;
  }
};

TEST(MissingPreTokenizer, Llama3IsKnownByItsFirstSpecialToken) {
  Llama3File file;
  expect_refused(file, "pre", "the vocabulary is not that of Llama 3");
  const auto tokenizer = file.add_control("<|begin_of_text|>").load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
  EXPECT_EQ(tokenizer->encode("ab", {.add_bos = false}), (std::vector<TokenId>{256}));
  const auto vocabulary = read_vocabulary(*format::GgufFile::open(file.path()));
  ASSERT_TRUE(vocabulary.ok());
  EXPECT_EQ(vocabulary->pre_tokenizer, "llama-bpe");
  // A file that says what it is is believed.
  const auto told = file.set("pre", std::string("gpt-2")).load();
  ASSERT_TRUE(told.ok()) << told.error().to_string();
  EXPECT_EQ(read_vocabulary(*format::GgufFile::open(file.path()))->pre_tokenizer, "gpt-2");
}

TEST(MissingPreTokenizer, AnotherFirstSpecialTokenIsNotLlama3) {
  Llama3File file;
  expect_refused(file.add_control("<s>"), "pre", "the vocabulary is not that of Llama 3");
}

TEST(MissingPreTokenizer, OtherVocabulariesAreRefused) {
  VocabularyFile file;
  expect_refused(file.drop("pre"), "pre", "the vocabulary is not that of Llama 3");
}

TEST(Vocabulary, IsReadFromAFileWithoutTensors) {
  const VocabularyFile file;
  const auto t = file.load();
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  EXPECT_EQ(t->vocab_size(), 260u);
  EXPECT_EQ(t->token_bytes(257), " ab");
  EXPECT_EQ(t->token_bytes(258), "<s>");
  EXPECT_EQ(t->bos(), 258);
  EXPECT_EQ(t->eos(), 259);
  EXPECT_EQ(t->eot(), std::nullopt);
  EXPECT_EQ(t->encode("ab abc"), (std::vector<TokenId>{258, 256, 257, 'c'}));
}

TEST(Vocabulary, OptionalKeys) {
  VocabularyFile file;
  file.set("eot_token_id", std::uint32_t{'!'});
  file.set("unknown_token_id", std::uint32_t{0});
  file.set("padding_token_id", std::uint32_t{0});
  file.set("add_bos_token", false);
  file.set("add_eos_token", true);
  file.set("token_type", std::vector<std::uint32_t>(260, 1));
  const auto t = file.load();
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  EXPECT_EQ(t->eot(), '!');
  EXPECT_EQ(t->encode("b"), (std::vector<TokenId>{'b', 259}));
  EXPECT_FALSE(t->is_special(258));
}

TEST(Vocabulary, EndTokensAreControlTokensWhateverTheFileSays) {
  VocabularyFile file;
  file.get<Ints>("token_type")[259] = 1;
  auto t = file.load();
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  EXPECT_TRUE(t->is_special(259));
  // Not so one that merges make: that is text.
  file.get<Strings>("tokens")[259] = "<|end|>";
  for (const char* part : {"<|", "en", "end", "|>", "<|end"}) {
    file.get<Strings>("tokens").emplace_back(part);
    file.get<Ints>("token_type").push_back(1);
  }
  file.set("merges", Strings{"< |", "e n", "en d", "| >", "<| end", "<|end |>"});
  t = file.load();
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  EXPECT_FALSE(t->is_special(259));
  // Nor one that the file calls user defined: that is text, too.
  file.set("merges", Strings{});
  file.get<Ints>("token_type")[259] = 4;
  t = file.load();
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  EXPECT_FALSE(t->is_special(259));
}

TEST(Vocabulary, NamesAreNotInTheByteAlphabet) {
  VocabularyFile file;
  file.get<Strings>("tokens")[258] = "<｜begin of Ġtext｜>";
  file.get<Ints>("token_type")[259] = 5;
  const auto t = file.load();
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  EXPECT_EQ(t->token_bytes(258), "<｜begin of Ġtext｜>");
  EXPECT_EQ(t->token_bytes(259), "<|eot_id|>");
}

TEST(Vocabulary, RefusesOtherModels) {
  VocabularyFile file;
  expect_refused(file.drop("model"), "model", "expected a string, found none");
  expect_refused(file.set("model", std::string("bert")), "model",
                 "expected 'gpt2' (byte-level BPE), 'llama' (SentencePiece BPE) or 't5' (unigram), "
                 "found 'bert'",
                 ErrorCode::kUnsupported);
}

TEST(Vocabulary, RefusesUnknownPreTokenizers) {
  VocabularyFile file;
  expect_refused(file.set("pre", std::string("qwen9")), "pre", "found 'qwen9'",
                 ErrorCode::kUnsupported);
}

// What early converters of BitNet-embedding-270M made of Gemma's vocabulary.
TEST(Vocabulary, RefusesPiecesThatAreCalledByteLevel) {
  VocabularyFile file;
  expect_refused(file.set("pre", std::string("default")), "pre",
                 "convert the model again so that tokenizer.ggml.model is 'llama'",
                 ErrorCode::kUnsupported);
}

TEST(Vocabulary, RefusesTokensThatAreNone) {
  VocabularyFile file;
  file.get<Strings>("tokens")[256] = "a b";
  expect_refused(file, "tokens", "element 256: expected a normal token in the byte alphabet");
  file.get<Strings>("tokens")[256] = "a";
  expect_refused(file.set("merges", Strings{}), "tokens", "found 'a' again");
  file.get<Strings>("tokens")[256] = "x";
  file.get<Strings>("tokens")['x'] = "xx";
  expect_refused(file.set("tokens", Strings(260, "x")), "tokens", "found 'x' again");
  expect_refused(file.set("tokens", std::string("x")), "tokens", "expected an array of strings");
  expect_refused(file.drop("tokens"), "tokens", "expected an array of strings, found none");
}

TEST(Vocabulary, RefusesKindsThatDoNotFit) {
  VocabularyFile file;
  file.get<Ints>("token_type").pop_back();
  expect_refused(file, "token_type", "expected 260 elements, as many as in tokenizer.ggml.tokens");
  file.get<Ints>("token_type").push_back(0);
  expect_refused(file, "token_type", "element 259: expected 1 (normal)");
  file.get<Ints>("token_type")[259] = 6;
  expect_refused(file, "token_type", "found 6");
  file.get<Ints>("token_type")[259] = -1;
  expect_refused(file, "token_type", "found -1");
  expect_refused(file.set("token_type", std::vector<float>(260, 1.0f)), "token_type",
                 "expected an array of integers, found");
  expect_refused(file.set("token_type", std::uint32_t{1}), "token_type",
                 "expected an array of integers, found");
  expect_refused(file.drop("token_type"), "token_type",
                 "expected an array of integers, found none");
}

TEST(Vocabulary, RefusesMergesThatMakeNoToken) {
  VocabularyFile file;
  const auto refused = [&](const char* merge, const char* message) {
    expect_refused(file.set("merges", Strings{"a b", merge}), "merges", message);
  };
  refused("ab", "element 1: expected two tokens with a space between, found 'ab'");
  refused("a b c", "element 1: expected two tokens with a space between, found 'a b c'");
  refused("ab ", "element 1, 'ab ': expected normal tokens of tokenizer.ggml.tokens, found no ''");
  refused("xy b", "found no 'xy'");
  refused("a xy", "found no 'xy'");
  refused("a c", "found no 'ac'");
  refused("<s> a", "found no '<s>'");
  refused("a b", "expected each pair once, found 'a' and 'b' again");
  expect_refused(file.drop("merges"), "merges", "expected an array of strings, found none");
}

TEST(Vocabulary, RefusesIdsOutsideOfTheVocabulary) {
  for (const char* key :
       {"bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id", "padding_token_id"}) {
    VocabularyFile file;
    expect_refused(file.set(key, std::uint32_t{260}), key,
                   "expected an id below 260, the size of tokenizer.ggml.tokens, found 260");
    expect_refused(file.set(key, std::string("x")), key, "expected an unsigned integer");
  }
  VocabularyFile file;
  expect_refused(file.drop("bos_token_id"), "bos_token_id", "a BOS token is to be added");
}

TEST(Vocabulary, RefusesFlagsThatAreNone) {
  VocabularyFile file;
  expect_refused(file.set("add_bos_token", std::uint32_t{1}), "add_bos_token", "expected a bool");
  file.set("add_bos_token", true);
  expect_refused(file.set("add_eos_token", std::string("x")), "add_eos_token", "expected a bool");
}

TEST(PieceVocabulary, IsReadFromAFileWithoutTensors) {
  PieceFile file;
  auto t = file.load();
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  EXPECT_EQ(t->vocab_size(), 261u);
  EXPECT_EQ(t->token_bytes(2 + '\n'), "\n");
  EXPECT_EQ(t->token_bytes(259), " a");
  EXPECT_EQ(t->encode("a a  "), (std::vector<TokenId>{1, 259, 259, 260}));
  EXPECT_EQ(t->encode("\u2581"), (std::vector<TokenId>{1, 260}));
  EXPECT_TRUE(t->is_special(0));
  EXPECT_FALSE(t->is_special(2));

  t = file.set("pre", std::string("default")).set("add_space_prefix", false).load();
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  EXPECT_EQ(t->encode("a a", {.add_bos = false}), (std::vector<TokenId>{2 + 'a', 259}));
}

TEST(PieceVocabulary, RefusesWhatTernDoesNotDo) {
  const auto unsupported = [](PieceFile file, const char* key, GgufWriterValue value,
                              const char* message) {
    expect_refused(file.set(key, std::move(value)), key, message, ErrorCode::kUnsupported);
  };
  unsupported({}, "pre", std::string("llama-bpe"), "expected 'default' or no such key");
  unsupported({}, "precompiled_charsmap", std::vector<std::uint8_t>{1}, "does not normalise");
  unsupported({}, "remove_extra_whitespaces", true, "expected false, found true");
  PieceFile file;
  expect_refused(file.set("add_space_prefix", std::uint32_t{1}), "add_space_prefix",
                 "expected a bool");
}

TEST(PieceVocabulary, RefusesScoresThatAreNone) {
  PieceFile file;
  file.get<std::vector<float>>("scores").pop_back();
  expect_refused(file, "scores", "expected 261 elements, as many as in tokenizer.ggml.tokens");
  file.get<std::vector<float>>("scores").push_back(std::numeric_limits<float>::quiet_NaN());
  expect_refused(file, "scores", "element 260: expected a number, found nan");
  file.set("scores", std::vector<float>(261, -1000.0f));
  expect_refused(file, "scores", "converted without its scores");
  file.get<Ints>("token_type")[259] = 5;  // of one normal token none can differ
  EXPECT_TRUE(file.load().ok());
  file.set("scores", Ints(261, 1));
  expect_refused(file, "scores", "expected an array of floats, found array of");
  expect_refused(file.drop("scores"), "scores", "expected an array of floats, found none");
}

TEST(PieceVocabulary, RefusesBytesThatAreNone) {
  for (const char* name : {"<0x0a>", "<0x0G>", "<0xG0>", "<0x0A?", "<0x0A", "0x0A>", "<0x00A>",
                           "<0x0A>>", "a", "<0y0A>"}) {
    PieceFile file;
    file.get<Strings>("tokens")[2 + '\n'] = name;
    expect_refused(file, "tokens", "element 12: expected a byte token such as '<0x0A>'");
  }
  PieceFile file;
  file.get<Strings>("tokens")[2 + '\n'] = "<0x0B>";
  expect_refused(file, "tokens", "found another for '\\x0b'");
  file.get<Ints>("token_type")[2 + '\n'] = 1;
  expect_refused(file, "tokens", "found none for '\\x0a'");
  file.get<Ints>("token_type")[2] = 7;
  expect_refused(file, "token_type", "5 (unused) or 6 (byte), found 7");
}

}  // namespace
}  // namespace tern::text
