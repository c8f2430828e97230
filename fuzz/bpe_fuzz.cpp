// Any bytes survive encode and decode; the streamed text is the whole text; nothing crashes. The
// first byte picks the pre-tokenizer and whether names of special tokens are such tokens.
#include <cstdint>
#include <string>
#include <string_view>

#include "check.h"
#include "streaming.h"
#include "text/tokenizer.h"

namespace {

using tern::fuzz::require;
using tern::fuzz::require_streaming;
using tern::text::TokenId;
using tern::text::Tokenizer;
using tern::text::TokenKind;
using tern::text::Vocabulary;

// Merges over few bytes, so that a fuzzer meets them often: letters, spaces, apostrophes, digits,
// line breaks and the parts of "é" and "海". Each half of a merge is a byte or an earlier result.
constexpr std::string_view kMerges[][2] = {
    {"a", "a"},       {"aa", "aa"},      {"t", "h"},       {"th", "e"},          {" ", "the"},
    {" ", " "},       {"  ", "  "},      {" ", "a"},       {"'", "s"},           {"'", "l"},
    {"'l", "l"},      {"\n", "\n"},      {"\r", "\n"},     {" ", "\n"},          {"1", "2"},
    {"12", "3"},      {"\xC3", "\xA9"},  {"\xE6", "\xB5"}, {"\xE6\xB5", "\xB7"}, {"\xB7", "\xE6"},
    {"\xFF", "\xFF"}, {"a", "\xC3\xA9"}, {"aa", "a"},      {"a", "aa"},
};

Vocabulary vocabulary(const char* pre_tokenizer) {
  Vocabulary v;
  v.pre_tokenizer = pre_tokenizer;
  v.add_bos = false;
  for (int byte = 0; byte < 256; ++byte) {
    v.tokens.push_back({std::string(1, static_cast<char>(byte)), TokenKind::kNormal});
  }
  const auto id_of = [&](std::string_view bytes) {
    for (std::size_t i = 0; i < v.tokens.size(); ++i) {
      if (v.tokens[i].bytes == bytes) return static_cast<TokenId>(i);
    }
    v.tokens.push_back({std::string(bytes), TokenKind::kNormal});
    return static_cast<TokenId>(v.tokens.size() - 1);
  };
  for (const auto& [left, right] : kMerges) {
    const auto rank = static_cast<std::uint32_t>(v.merges.size());
    const TokenId result = id_of(std::string(left) + std::string(right));
    v.merges.push_back({id_of(left), id_of(right), result, rank});
  }
  v.tokens.push_back({"<|a|>", TokenKind::kControl});
  v.tokens.push_back({"<|a|>a", TokenKind::kControl});
  v.tokens.push_back({"\xA9<", TokenKind::kUserDefined});
  return v;
}

Tokenizer make(const char* pre_tokenizer) {
  auto made = Tokenizer::create(vocabulary(pre_tokenizer));
  require(made.ok());
  return std::move(*made);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Tokenizer tokenizers[] = {make("gpt-2"), make("llama-bpe"), make("falcon")};
  if (size == 0) return 0;
  const Tokenizer& tokenizer = tokenizers[(data[0] & 4) != 0 ? 2 : data[0] & 1];
  tern::text::EncodeOptions options;
  options.parse_special = (data[0] & 2) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);

  const auto ids = tokenizer.encode(text, options);
  require(tokenizer.decode(ids, true) == text);
  require(options.parse_special || tokenizer.decode(ids) == text);

  require_streaming(tokenizer, ids);
  return 0;
}
