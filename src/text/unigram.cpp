#include "text/unigram.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "text/utf8.h"
#include "text/vocabulary_error.h"

namespace tern::text {
namespace {

// At each place of a text tokens are compared up to their ends.
constexpr std::size_t kLongestToken = 1024;
constexpr float kUnknownPenalty = 10.0f;
// Beyond it sums begin again at zero, so that long texts lose no precision.
constexpr float kLargestSum = 100000.0f;
}  // namespace

Result<void> Unigram::index_tokens() {
  float least = FLT_MAX;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const Token& token = tokens_[i];
    if (token.kind != TokenKind::kNormal && token.kind != TokenKind::kUserDefined) continue;
    if (token.bytes.size() > kLongestToken) {
      return vocabulary_error(ErrorCode::kUnsupported, "tokens",
                              "token " + std::to_string(i) + ": expected at most " +
                                  std::to_string(kLongestToken) + " bytes, found " +
                                  std::to_string(token.bytes.size()));
    }
    if (token.kind == TokenKind::kNormal) least = std::min(least, token.score);
    if (pieces_.contains(token.bytes)) {
      return vocabulary_error(
          ErrorCode::kMalformed, "tokens",
          "token " + std::to_string(i) +
              ": expected each text once, found it as a normal token and as one "
              "of the user");
    }
    pieces_.insert(token.bytes, static_cast<TokenId>(i));
  }
  unknown_score_ = least - kUnknownPenalty;
  return {};
}

Result<std::unique_ptr<const TextModel>> Unigram::create(const std::vector<Token>& tokens,
                                                         std::optional<TokenId> unknown) {
  std::unique_ptr<Unigram> model(new Unigram(tokens));
  TERN_TRY(model->index_tokens());
  if (has_byte_tokens(tokens)) {
    TERN_ASSIGN(model->bytes_, ByteTokens::create(tokens));
  } else if (unknown) {
    model->unknown_ = *unknown;
  } else {
    return vocabulary_error(ErrorCode::kMalformed, "unknown_token_id",
                            "expected an id, as there are no byte tokens, found no such key");
  }
  return std::unique_ptr<const TextModel>(std::move(model));
}

// Tokens of the user are always chosen: the library gives them 0.1 for each byte but the first,
// where a space is U+2581, of three bytes.
float Unigram::score_of(TokenId token) const {
  const Token& found = tokens_[static_cast<std::size_t>(token)];
  if (found.kind != TokenKind::kUserDefined) return found.score;
  const auto spaces = std::count(found.bytes.begin(), found.bytes.end(), ' ');
  const auto bytes = static_cast<double>(found.bytes.size()) + 2.0 * static_cast<double>(spaces);
  return static_cast<float>(0.1 * (bytes - 1.0));
}

void Unigram::append(std::string_view piece, TokenId token, std::vector<TokenId>& out) const {
  if (token != kNoToken) {
    out.push_back(token);
  } else if (bytes_) {
    bytes_->append(piece, out);
  } else {
    out.push_back(unknown_);
  }
}

// Viterbi's search, in the order and in the precision of the library: of equal sums the one found
// first is kept, which has the longer last token.
std::vector<Unigram::Node> Unigram::best_ends(std::string_view text) const {
  std::vector<Node> ends(text.size() + 1);
  std::size_t reached = 0;
  const auto offer = [&](std::size_t begin, std::size_t end, float score, TokenId token) {
    Node& node = ends[end];
    const float sum = score + ends[begin].sum;
    if (!node.reached || sum > node.sum) node = {sum, token, begin, true};
    reached = std::max(reached, end);
  };
  for (std::size_t at = 0; at < text.size();) {
    if (std::fabs(ends[at].sum) > kLargestSum) {
      const float offset = ends[at].sum;
      for (std::size_t i = at; i <= reached; ++i) {
        if (ends[i].reached) ends[i].sum -= offset;
      }
    }
    const std::size_t character = next_utf8(text, at).length;
    bool has_single = false;
    pieces_.each_at(text, at, [&](std::size_t length, TokenId token) {
      offer(at, at + length, score_of(token), token);
      has_single = has_single || length == character;
    });
    if (!has_single) offer(at, at + character, unknown_score_, kNoToken);
    at += character;
  }
  return ends;
}

void Unigram::encode(std::string_view text, BpeEncoder&, std::vector<TokenId>& out) const {
  const std::vector<Node> ends = best_ends(text);
  std::vector<std::size_t> path;
  for (std::size_t end = text.size(); end > 0; end = ends[end].begin) path.push_back(end);
  bool after_unknown = false;
  for (auto end = path.rbegin(); end != path.rend(); ++end) {
    const Node& node = ends[*end];
    const bool unknown = node.token == kNoToken;
    if (!(unknown && after_unknown && !bytes_)) {
      append(text.substr(node.begin, *end - node.begin), node.token, out);
    }
    after_unknown = unknown;
  }
}

}  // namespace tern::text
