// tiktoken files: base64 and rank, a line a token, in the order of the ranks.
#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>
#include <utility>

#include "convert/vocabulary.h"
#include "core/sha256.h"
#include "format/gguf/gguf_text.h"
#include "text/byte_alphabet.h"
#include "text/token_index.h"
#include "text/utf8.h"

namespace tern::convert {
namespace {

// Of the tokenizer.model of Llama 3, which BitNet b1.58 2B-4T shares.
constexpr std::string_view kLlama3Sha256 =
    "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55";

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::optional<std::string> from_base64(std::string_view text) {
  std::string out;
  unsigned bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    const std::size_t digit = kBase64.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xFF);
  }
  return out;
}

// A line's token; nothing where it is none of rank `rank`.
std::optional<std::string> token_of(std::string_view line, std::uint64_t rank) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view number = line.substr(space + 1);
  std::uint64_t found = 0;
  const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), found);
  if (failed != std::errc() || end != number.data() + number.size() || found != rank) {
    return std::nullopt;
  }
  return from_base64(line.substr(0, space));
}

// The visible character of each byte.
std::array<std::string, 256> alphabet() {
  std::array<std::string, 256> characters;
  for (char32_t code_point = 0; code_point < 0x200; ++code_point) {
    const auto byte = text::byte_of_character(code_point);
    if (byte) text::append_utf8(characters[*byte], code_point);
  }
  return characters;
}

std::string visible(std::string_view bytes, const std::array<std::string, 256>& characters) {
  std::string out;
  for (const char byte : bytes) out += characters[static_cast<unsigned char>(byte)];
  return out;
}

// Each way to put a token together from two others is a merge of the token's own rank; within one,
// in the order of the parts' ranks.
void recover_merges(const std::vector<std::string>& tokens, HfVocabulary& vocabulary) {
  text::TokenIndex ids(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    ids.insert(tokens[i], static_cast<text::TokenId>(i));
  }
  std::vector<std::pair<text::TokenId, text::TokenId>> pairs;
  for (const std::string& token : tokens) {
    pairs.clear();
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ids.find(std::string_view(token).substr(0, cut));
      const auto right = ids.find(std::string_view(token).substr(cut));
      if (left && right) pairs.emplace_back(*left, *right);
    }
    std::ranges::sort(pairs);
    for (const auto& [left, right] : pairs) {
      vocabulary.merges.push_back(vocabulary.tokens[static_cast<std::size_t>(left)] + " " +
                                  vocabulary.tokens[static_cast<std::size_t>(right)]);
    }
  }
}

void add_llama3_special_tokens(HfVocabulary& vocabulary) {
  std::vector<std::string> names{"begin_of_text", "end_of_text"};
  const auto reserve = [&](int from, int to) {
    for (int i = from; i < to; ++i) names.push_back("reserved_special_token_" + std::to_string(i));
  };
  reserve(0, 4);
  names.insert(names.end(), {"start_header_id", "end_header_id"});
  reserve(4, 5);
  names.emplace_back("eot_id");
  reserve(5, 251);
  const auto first = static_cast<std::uint32_t>(vocabulary.tokens.size());
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    vocabulary.put(first + i, "<|" + names[i] + "|>", text::TokenKind::kControl);
  }
  vocabulary.bos = first;
  vocabulary.eos = first + 1;
  vocabulary.add_bos = true;
}

}  // namespace

bool is_tiktoken(std::string_view text) {
  return token_of(text.substr(0, text.find('\n')), 0).has_value();
}

Result<HfVocabulary> read_tiktoken(std::string_view text, const std::string& source) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  if (hash.finish() != kLlama3Sha256) {
    return Error{ErrorCode::kUnsupported,
                 "the tiktoken file is not Llama 3's, and such files say neither their "
                 "pre-tokenizer nor their special tokens; bring a tokenizer.json",
                 source};
  }
  HfVocabulary vocabulary;
  vocabulary.pre_tokenizer = "llama-bpe";
  const auto characters = alphabet();
  std::vector<std::string> tokens;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    auto token = token_of(line, tokens.size());
    if (!token) {
      return Error{ErrorCode::kMalformed,
                   "expected base64 and the rank " + std::to_string(tokens.size()) + ", found " +
                       format::in_quotes(line),
                   source};
    }
    vocabulary.put(static_cast<std::uint32_t>(tokens.size()), visible(*token, characters),
                   text::TokenKind::kNormal);
    tokens.push_back(std::move(*token));
  }
  recover_merges(tokens, vocabulary);
  add_llama3_special_tokens(vocabulary);
  return vocabulary;
}

}  // namespace tern::convert
