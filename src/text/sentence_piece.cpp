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
  TERN_ASSIGN(model->bytes_, ByteTokens::create(tokens));
  TERN_TRY(model->index_merges());
  return std::unique_ptr<const TextModel>(std::move(model));
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
      bytes_.append(character, symbols);  // of these no merge is made
    }
  }
  std::vector<TokenId> merged;
  bpe.encode(merges_, symbols, merged);
  for (const TokenId symbol : merged) {
    const auto index = static_cast<std::size_t>(symbol);
    if (index < tokens_.size()) {
      out.push_back(symbol);
    } else {
      bytes_.append(tokenless_bytes_[index - tokens_.size()], out);
    }
  }
}

}  // namespace tern::text
