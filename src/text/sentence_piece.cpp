#include "text/sentence_piece.h"

#include <algorithm>

#include "text/utf8.h"
#include "text/vocabulary_error.h"

namespace tern::text {
namespace {

// A token is cut at each of its characters and each part looked up: long ones would take long.
constexpr std::size_t kLongestToken = 1024;

// The ranks of the normal tokens by their ids: the highest score is rank 0, equal scores have equal
// ranks.
std::vector<std::uint32_t> ranks_of(const std::vector<Token>& tokens) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].kind == TokenKind::kNormal) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return tokens[a].score > tokens[b].score; });
  std::vector<std::uint32_t> ranks(tokens.size());
  std::uint32_t rank = 0;
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (tokens[order[i]].score < tokens[order[i - 1]].score) ++rank;
    ranks[order[i]] = rank;
  }
  return ranks;
}

}  // namespace

Result<void> SentencePieceBpe::index_bytes() {
  byte_tokens_.fill(-1);
  const auto malformed = [](std::string_view byte, const char* found) {
    return vocabulary_error(ErrorCode::kMalformed, "tokens",
                            "expected one byte token for each of the 256 bytes, found " +
                                std::string(found) + " for " + format::in_quotes(byte));
  };
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].kind != TokenKind::kByte) continue;
    TokenId& token = byte_tokens_[static_cast<unsigned char>(tokens_[i].bytes[0])];
    if (token >= 0) return malformed(tokens_[i].bytes, "another");
    token = static_cast<TokenId>(i);
  }
  for (std::size_t value = 0; value < byte_tokens_.size(); ++value) {
    const char byte = static_cast<char>(value);
    if (byte_tokens_[value] < 0) return malformed({&byte, 1}, "none");
  }
  return {};
}

// The symbol of a part of a token: that of a token, or of a character that is none.
std::optional<TokenId> SentencePieceBpe::symbol_of(std::string_view part) {
  if (const auto word = words_.find(part)) return word;
  if (next_utf8(part, 0).length != part.size()) return std::nullopt;
  const auto next = static_cast<TokenId>(tokens_.size() + tokenless_bytes_.size());
  const auto [place, is_new] = tokenless_.emplace(part, next);
  if (is_new) tokenless_bytes_.push_back(part);
  return place->second;
}

void SentencePieceBpe::add_merges_of(TokenId token, std::uint32_t rank,
                                     std::vector<Merge>& merges) {
  const std::string_view bytes = tokens_[static_cast<std::size_t>(token)].bytes;
  for (std::size_t cut = next_utf8(bytes, 0).length; cut < bytes.size();
       cut += next_utf8(bytes, cut).length) {
    const auto left = symbol_of(bytes.substr(0, cut));
    if (!left) continue;
    if (const auto right = symbol_of(bytes.substr(cut))) {
      merges.push_back({*left, *right, token, rank});
    }
  }
}

Result<void> SentencePieceBpe::index_merges() {
  const std::vector<std::uint32_t> ranks = ranks_of(tokens_);
  std::vector<Merge> merges;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].kind != TokenKind::kNormal) continue;
    if (tokens_[i].bytes.size() > kLongestToken) {
      return vocabulary_error(ErrorCode::kUnsupported, "tokens",
                              "token " + std::to_string(i) + ": expected at most " +
                                  std::to_string(kLongestToken) + " bytes, found " +
                                  std::to_string(tokens_[i].bytes.size()));
    }
    add_merges_of(static_cast<TokenId>(i), ranks[i], merges);
  }
  merges_ = MergeTable(merges.size());
  for (const Merge& merge : merges) merges_.insert(merge);  // tokens differ, so that pairs do
  return {};
}

Result<std::unique_ptr<const TextModel>> SentencePieceBpe::create(const std::vector<Token>& tokens,
                                                                  const TokenIndex& words) {
  std::unique_ptr<SentencePieceBpe> model(new SentencePieceBpe(tokens, words));
  TERN_TRY(model->index_bytes());
  TERN_TRY(model->index_merges());
  return std::unique_ptr<const TextModel>(std::move(model));
}

void SentencePieceBpe::append_bytes(std::string_view bytes, std::vector<TokenId>& out) const {
  for (const char byte : bytes) out.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
}

void SentencePieceBpe::encode(std::string_view text, BpeEncoder& bpe,
                              std::vector<TokenId>& out) const {
  std::vector<TokenId> symbols;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view character = text.substr(at, next_utf8(text, at).length);
    at += character.size();
    if (const auto word = words_.find(character)) {
      symbols.push_back(*word);
    } else if (const auto found = tokenless_.find(character); found != tokenless_.end()) {
      symbols.push_back(found->second);
    } else {
      append_bytes(character, symbols);  // of these no merge is made
    }
  }
  std::vector<TokenId> merged;
  bpe.encode(merges_, symbols, merged);
  for (const TokenId symbol : merged) {
    const auto index = static_cast<std::size_t>(symbol);
    if (index < tokens_.size()) {
      out.push_back(symbol);
    } else {
      append_bytes(tokenless_bytes_[index - tokens_.size()], out);
    }
  }
}

}  // namespace tern::text
