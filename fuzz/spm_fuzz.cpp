// Any bytes survive encode and decode with a SentencePiece vocabulary, but for U+2581, which is a
// space; the streamed text is the whole text; nothing crashes. The first byte says whether texts
// begin with a space of their own and whether names of special tokens are such tokens.
#include <cstdint>
#include <string>
#include <string_view>

#include "check.h"
#include "streaming.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace {

using tern::fuzz::require;
using tern::fuzz::require_streaming;
using tern::text::TokenId;
using tern::text::Tokenizer;
using tern::text::TokenKind;
using tern::text::Vocabulary;

// Pieces over few characters, so that a fuzzer meets them often; of "海" only pairs are tokens.
constexpr std::string_view kPieces[] = {" ",    "  ",   "    ", "t",    "h",  "th",  "the", " the",
                                        "a",    "aa",   "aaa",  "aaaa", "é",  "aé",  "é ",  "\n",
                                        "\n\n", "海海", "a海",  "1",    "12", "123", "<",   "<|"};

Tokenizer make(bool add_space_prefix) {
  Vocabulary v;
  v.model = tern::text::TokenizerModel::kSentencePiece;
  v.add_bos = false;
  v.add_space_prefix = add_space_prefix;
  for (int byte = 0; byte < 256; ++byte) {
    v.tokens.push_back({std::string(1, static_cast<char>(byte)), TokenKind::kByte});
  }
  float score = 0;
  for (const std::string_view piece : kPieces) {
    v.tokens.push_back({std::string(piece), TokenKind::kNormal, score});
    score = score > -8 ? score - 1 : 0;  // some scores are equal
  }
  v.tokens.push_back({"<|a|>", TokenKind::kControl});
  v.tokens.push_back({"<|a|>a", TokenKind::kControl});
  v.tokens.push_back({"é<", TokenKind::kUserDefined});
  v.tokens.push_back({"  a", TokenKind::kUserDefined});
  auto made = Tokenizer::create(std::move(v));
  require(made.ok());
  return std::move(*made);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer tokenizers[] = {make(false), make(true)};
  if (size == 0) return 0;
  const Tokenizer& tokenizer = tokenizers[data[0] & 1];
  tern::text::EncodeOptions options;
  options.parse_special = (data[0] & 2) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string expected = tern::text::spaces_of_sentence_piece(text);

  const auto ids = tokenizer.encode(text, options);
  require(tokenizer.decode(ids, true) == expected);
  require(options.parse_special || tokenizer.decode(ids) == expected);

  require_streaming(tokenizer, ids);
  return 0;
}
