#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/sentence_piece.h"
#include "text/token_index.h"
#include "text/token_trie.h"
#include "text/unigram.h"
#include "text/vocabulary_error.h"

namespace tern::text {
namespace {

// At each place of a text a name is compared up to its end, so that names must be short for the
// time to stay linear.
constexpr std::size_t kLongestName = 1024;

// Four times as many as any vocabulary that is known; far below the limit of TokenId.
constexpr std::size_t kMostTokens = 1 << 20;

Error malformed(std::string_view key, std::string message) {
  return vocabulary_error(ErrorCode::kMalformed, key, std::move(message));
}

Error unsupported(std::string_view key, std::string message) {
  return vocabulary_error(ErrorCode::kUnsupported, key, std::move(message));
}

// The longest name at a place that does not reach the first of `barred` behind it.
TokenTrie::Match name_at(const TokenTrie& names, std::string_view text, std::size_t at,
                         std::span<const std::size_t> barred) {
  const auto bar = std::upper_bound(barred.begin(), barred.end(), at);
  if (bar == barred.end()) return names.longest_at(text, at);
  TokenTrie::Match longest;
  names.each_at(text, at, [&](std::size_t length, TokenId token) {
    if (at + length < *bar) longest = {length, token};
  });
  return longest;
}

// Calls on_text for each run between names and on_name for each name, in order; runs may be empty.
template <typename OnText, typename OnName>
void split_at_names(const TokenTrie& names, std::string_view text,
                    std::span<const std::size_t> barred, const OnText& on_text,
                    const OnName& on_name) {
  std::size_t begin = 0;
  for (std::size_t at = names.empty() ? text.size() : 0; at < text.size();) {
    const TokenTrie::Match match = name_at(names, text, at, barred);
    if (match.length == 0) {
      ++at;
      continue;
    }
    on_text(text.substr(begin, at - begin));
    on_name(match.token);
    at += match.length;
    begin = at;
  }
  on_text(text.substr(begin));
}

std::string token_at(std::size_t id) { return "token " + std::to_string(id); }

Error duplicated(std::size_t id, const Token& token) {
  return malformed("tokens", token_at(id) + ": expected each token once, found " +
                                 format::in_quotes(token.bytes) + " again");
}

}  // namespace

struct Tokenizer::State {
  std::vector<Token> tokens;
  // The normal tokens by their bytes; the views are into `tokens`, which never changes.
  TokenIndex words{0};
  TokenTrie special;       // what encode() finds where parse_special is set
  TokenTrie user_defined;  // what it finds between them in any text
  std::unique_ptr<const TextModel> model;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> eot;
  bool adds_bos = false;
  bool adds_eos = false;
  bool spaces_are_u2581 = false;  // SentencePiece: both mean a space
  bool adds_space = false;        // ... and a section begins with one of its own
  bool composes = false;          // a section is brought into NFC

  Result<void> index_tokens();
  Result<void> check_ids() const;

  Result<void> make_model(const Vocabulary& vocabulary);
  const Token* find(TokenId token) const;
  void encode_section(std::string_view text, BpeEncoder& bpe, std::vector<TokenId>& out) const;
};

Result<void> Tokenizer::State::index_tokens() {
  words = TokenIndex(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Token& token = tokens[i];
    const auto id = static_cast<TokenId>(i);
    if (i + kFetchAhead < tokens.size()) words.fetch(tokens[i + kFetchAhead].bytes);
    if (token.kind == TokenKind::kUnused || token.kind == TokenKind::kByte) continue;
    if (token.bytes.empty()) {
      return malformed("tokens", token_at(i) + ": expected a text, found an empty one");
    }
    if (token.kind == TokenKind::kNormal) {
      if (!words.insert(token.bytes, id)) return duplicated(i, token);
      continue;
    }
    if (token.bytes.size() > kLongestName) {
      return unsupported("tokens", token_at(i) + ": expected a name of at most " +
                                       std::to_string(kLongestName) + " bytes, found " +
                                       std::to_string(token.bytes.size()));
    }
    if (special.contains(token.bytes) || user_defined.contains(token.bytes)) {
      return duplicated(i, token);
    }
    (token.kind == TokenKind::kUserDefined ? user_defined : special).insert(token.bytes, id);
  }
  return {};
}

Result<void> Tokenizer::State::check_ids() const {
  const std::pair<const char*, const std::optional<TokenId>*> ids[] = {
      {"bos_token_id", &bos}, {"eos_token_id", &eos}, {"eot_token_id", &eot}};
  for (const auto& [key, id] : ids) {
    if (id->has_value() && find(**id) == nullptr) {
      return malformed(key, "expected an id below " + std::to_string(tokens.size()) + ", found " +
                                std::to_string(**id));
    }
  }
  if (adds_bos && !bos) {
    return malformed("bos_token_id",
                     "expected an id, as a BOS token is to be added "
                     "(add_bos_token), found no such key");
  }
  if (adds_eos && !eos) {
    return malformed("eos_token_id",
                     "expected an id, as an EOS token is to be added "
                     "(add_eos_token), found no such key");
  }
  return {};
}

const Token* Tokenizer::State::find(TokenId token) const {
  const auto index = static_cast<std::size_t>(token);
  return token >= 0 && index < tokens.size() ? &tokens[index] : nullptr;
}

// After the tokens are in their place and indexed.
Result<void> Tokenizer::State::make_model(const Vocabulary& vocabulary) {
  if (vocabulary.model != TokenizerModel::kByteLevelBpe) {
    const bool is_bpe = vocabulary.model == TokenizerModel::kSentencePiece;
    adds_bos = vocabulary.add_bos.value_or(is_bpe);
    spaces_are_u2581 = true;
    adds_space = vocabulary.add_space_prefix;
    if (is_bpe) {
      TERN_ASSIGN(model, SentencePieceBpe::create(tokens, words));
    } else {
      TERN_ASSIGN(model, Unigram::create(tokens, vocabulary.unknown));
      user_defined = TokenTrie();  // the model finds them itself
    }
    return {};
  }
  const PreTokenizer* pre_tokenizer = find_pre_tokenizer(vocabulary.pre_tokenizer);
  if (pre_tokenizer == nullptr) {
    return unsupported("pre", "expected one of " + pre_tokenizer_names() + ", found " +
                                  format::in_quotes(vocabulary.pre_tokenizer));
  }
  adds_bos = vocabulary.add_bos.value_or(pre_tokenizer->adds_bos);
  composes = pre_tokenizer->composes;
  TERN_ASSIGN(model, ByteLevelBpe::create(*pre_tokenizer, tokens, vocabulary.merges, words));
  return {};
}

// A section is what lies between special tokens.
void Tokenizer::State::encode_section(std::string_view text, BpeEncoder& bpe,
                                      std::vector<TokenId>& out) const {
  if (text.empty()) return;
  std::string normal;
  if (composes) {
    normal = to_nfc(text);
    text = normal;
  } else if (spaces_are_u2581) {
    normal = (adds_space ? " " : "") + spaces_of_sentence_piece(text);
    text = normal;
  }
  split_at_names(
      user_defined, text, {}, [&](std::string_view run) { model->encode(run, bpe, out); },
      [&](TokenId token) { out.push_back(token); });
}

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::from_gguf(const format::GgufFile& file) {
  TERN_ASSIGN(Vocabulary vocabulary, read_vocabulary(file));
  auto tokenizer = create(std::move(vocabulary));
  if (!tokenizer) return in_context(file.source(), std::move(tokenizer.error()));
  return tokenizer;
}

Result<Tokenizer> Tokenizer::create(Vocabulary vocabulary) {
  auto state = std::make_unique<State>();
  if (vocabulary.tokens.size() > kMostTokens) {
    return unsupported("tokens", "expected at most " + std::to_string(kMostTokens) +
                                     " tokens, found " + std::to_string(vocabulary.tokens.size()));
  }
  state->tokens = std::move(vocabulary.tokens);
  state->bos = vocabulary.bos;
  state->eos = vocabulary.eos;
  state->eot = vocabulary.eot;
  state->adds_eos = vocabulary.add_eos;
  TERN_TRY(state->index_tokens());
  TERN_TRY(state->make_model(vocabulary));
  TERN_TRY(state->check_ids());
  return Tokenizer(std::move(state));
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<TokenId> out;
  if (state_->bos.has_value() && options.add_bos.value_or(state_->adds_bos)) {
    out.push_back(*state_->bos);
  }

  BpeEncoder bpe;
  const TokenTrie none;
  split_at_names(
      options.parse_special ? state_->special : none, text, options.no_names_at,
      [&](std::string_view section) { state_->encode_section(section, bpe, out); },
      [&](TokenId token) { out.push_back(token); });

  if (state_->eos.has_value() && options.add_eos.value_or(state_->adds_eos)) {
    out.push_back(*state_->eos);
  }
  return out;
}

std::vector<std::size_t> Tokenizer::special_names(std::string_view text) const {
  std::vector<std::size_t> places;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (state_->special.longest_at(text, at).length > 0) places.push_back(at);
  }
  return places;
}

std::string Tokenizer::decode(std::span<const TokenId> tokens, bool render_special) const {
  std::string out;
  bool begins = true;
  for (const TokenId token : tokens) out += text_of(token, begins, render_special);
  return out;
}

std::string_view Tokenizer::text_of(TokenId token, bool& begins, bool render_special) const {
  std::string_view text = token_bytes(token);
  if (is_special(token)) {
    begins = true;
    return render_special ? text : std::string_view();
  }
  if (state_->adds_space && begins && text.starts_with(' ')) text.remove_prefix(1);
  if (state_->find(token) != nullptr) begins = false;
  return text;
}

std::string_view Tokenizer::token_bytes(TokenId token) const {
  const Token* found = state_->find(token);
  return found == nullptr ? std::string_view() : std::string_view(found->bytes);
}

std::size_t Tokenizer::vocab_size() const { return state_->tokens.size(); }
std::optional<TokenId> Tokenizer::bos() const { return state_->bos; }
std::optional<TokenId> Tokenizer::eos() const { return state_->eos; }
std::optional<TokenId> Tokenizer::eot() const { return state_->eot; }
bool Tokenizer::adds_bos() const { return state_->adds_bos; }

bool Tokenizer::is_special(TokenId token) const {
  const Token* found = state_->find(token);
  return found != nullptr && found->kind != TokenKind::kNormal &&
         found->kind != TokenKind::kUserDefined && found->kind != TokenKind::kByte;
}

bool Tokenizer::is_end_of_generation(TokenId token) const {
  if (token == eos() || token == eot()) return true;
  return is_special(token) && is_end_name(token_bytes(token));
}

}  // namespace tern::text
