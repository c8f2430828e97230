#include "text/byte_level.h"

#include <string>

#include "text/utf8.h"
#include "text/vocabulary_error.h"

namespace tern::text {
namespace {

Error malformed(std::string message) {
  return vocabulary_error(ErrorCode::kMalformed, "merges", std::move(message));
}

Result<void> check_merge(const Merge& merge, const std::vector<Token>& tokens) {
  for (const TokenId id : {merge.left, merge.right, merge.result}) {
    const auto index = static_cast<std::size_t>(id);  // of a negative one: beyond all tokens
    if (index >= tokens.size() || tokens[index].kind != TokenKind::kNormal) {
      return malformed("expected ids of normal tokens, found " + std::to_string(id));
    }
  }
  const std::string_view left = tokens[static_cast<std::size_t>(merge.left)].bytes;
  const std::string_view right = tokens[static_cast<std::size_t>(merge.right)].bytes;
  const std::string_view result = tokens[static_cast<std::size_t>(merge.result)].bytes;
  if (result.size() != left.size() + right.size() || !result.starts_with(left) ||
      !result.ends_with(right)) {
    return malformed("expected that " + format::in_quotes(left) + " and " +
                     format::in_quotes(right) + " make one token, found " +
                     format::in_quotes(result));
  }
  if (merge.rank == kNoRank) return malformed("expected a rank below 4294967295, found that");
  return {};
}

}  // namespace

Result<void> ByteLevelBpe::index_bytes() {
  std::vector<TokenId> replacement;
  for (const char byte : kReplacementCharacter) {
    if (const auto token = words_.find({&byte, 1})) replacement.push_back(*token);
  }
  for (std::size_t value = 0; value < byte_tokens_.size(); ++value) {
    const char byte = static_cast<char>(value);
    if (const auto token = words_.find({&byte, 1})) {
      byte_tokens_[value] = {*token};
    } else if (replacement.size() == kReplacementCharacter.size()) {
      byte_tokens_[value] = replacement;
    } else {
      return vocabulary_error(ErrorCode::kMalformed, "tokens",
                              "expected a normal token for each of the 256 bytes, or at least for "
                              "those of U+FFFD, found none for byte " +
                                  format::in_quotes({&byte, 1}));
    }
  }
  return {};
}

Result<void> ByteLevelBpe::index_merges(const std::vector<Token>& tokens,
                                        const std::vector<Merge>& merges) {
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const Merge& merge = merges[i];
    if (const std::size_t ahead = i + kFetchAhead; ahead < merges.size()) {
      merges_.fetch(merges[ahead].left, merges[ahead].right);
    }
    TERN_TRY(check_merge(merge, tokens));
    if (!merges_.insert(merge)) {
      return malformed(
          "expected each pair once, found " +
          format::in_quotes(tokens[static_cast<std::size_t>(merge.left)].bytes) + " and " +
          format::in_quotes(tokens[static_cast<std::size_t>(merge.right)].bytes) + " again");
    }
  }
  return {};
}

Result<std::unique_ptr<const TextModel>> ByteLevelBpe::create(const PreTokenizer& pre_tokenizer,
                                                              const std::vector<Token>& tokens,
                                                              const std::vector<Merge>& merges,
                                                              const TokenIndex& words) {
  std::unique_ptr<ByteLevelBpe> model(new ByteLevelBpe(pre_tokenizer, words, merges.size()));
  TERN_TRY(model->index_bytes());
  TERN_TRY(model->index_merges(tokens, merges));
  return std::unique_ptr<const TextModel>(std::move(model));
}

void ByteLevelBpe::encode(std::string_view text, BpeEncoder& bpe, std::vector<TokenId>& out) const {
  std::vector<std::size_t> ends;
  pre_tokenizer_.split(text, ends);
  std::vector<TokenId> symbols;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    if (pre_tokenizer_.takes_whole_tokens) {
      if (const auto whole = words_.find(word)) {
        out.push_back(*whole);
        continue;
      }
    }
    symbols.clear();
    for (const char byte : word) {
      const auto& tokens = byte_tokens_[static_cast<unsigned char>(byte)];
      symbols.insert(symbols.end(), tokens.begin(), tokens.end());
    }
    bpe.encode(merges_, symbols, out);
  }
}

}  // namespace tern::text
