#include "text/vocabulary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>

#include "format/gguf/gguf_text.h"
#include "text/byte_alphabet.h"
#include "text/token_index.h"

namespace tern::text {
namespace {

using format::GgufFile;

constexpr std::string_view kModelKey = "tokenizer.ggml.model";
constexpr std::string_view kPreKey = "tokenizer.ggml.pre";
constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kKindsKey = "tokenizer.ggml.token_type";
constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";
constexpr std::string_view kScoresKey = "tokenizer.ggml.scores";
constexpr std::string_view kExtraSpacesKey = "tokenizer.ggml.remove_extra_whitespaces";
constexpr std::string_view kCharsmapKey = "tokenizer.ggml.precompiled_charsmap";
constexpr std::string_view kAddBosKey = "tokenizer.ggml.add_bos_token";

// Tokens that end a text or a turn. Some files call them normal; as no merge makes them, they can
// only be meant as control tokens.
constexpr std::array<std::string_view, 7> kEndNames{
    "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>",
    "<|im_end|>", "<|end|>",    "<end_of_turn>"};

// All errors of this file have the context that GgufFile gives its own: the file and the key.
Error malformed(const GgufFile& file, std::string_view key, std::string message) {
  return {ErrorCode::kMalformed, std::move(message),
          file.source() + ": key " + format::in_quotes(key)};
}

Error unsupported(const GgufFile& file, std::string_view key, std::string message) {
  Error error = malformed(file, key, std::move(message));
  error.code = ErrorCode::kUnsupported;
  return error;
}

std::string element(std::size_t i) { return "element " + std::to_string(i); }

// The integers of an array, whatever their width; the reader widens them to 64 bits.
template <typename T>
Result<std::vector<TokenKind>> to_kinds(const GgufFile& file, TokenizerModel model,
                                        const std::vector<T>& values) {
  const bool has_bytes = model != TokenizerModel::kByteLevelBpe;
  std::vector<TokenKind> kinds;
  kinds.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 1 || values[i] > (has_bytes ? 6 : 5)) {
      return malformed(file, kKindsKey,
                       element(i) + ": expected 1 (normal), 2 (unknown), 3 (control), 4 (user " +
                           "defined), 5 (unused)" + (has_bytes ? " or 6 (byte)" : "") + ", found " +
                           std::to_string(values[i]));
    }
    kinds.push_back(static_cast<TokenKind>(values[i]));
  }
  return kinds;
}

// The array at a key; nullptr where there is none or another value.
const format::GgufArray* find_array(const GgufFile& file, std::string_view key) {
  const format::GgufValue* value = file.find(key);
  return value == nullptr ? nullptr : std::get_if<format::GgufArray>(value);
}

Error no_array(const GgufFile& file, std::string_view key, std::string_view of) {
  const format::GgufValue* value = file.find(key);
  return malformed(file, key,
                   "expected an array of " + std::string(of) + ", found " +
                       std::string(value == nullptr ? "none" : format::type_name(*value)));
}

Error wrong_length(const GgufFile& file, std::string_view key, std::size_t tokens,
                   std::size_t found) {
  return malformed(file, key,
                   "expected " + std::to_string(tokens) + " elements, as many as in " +
                       std::string(kTokensKey) + ", found " + std::to_string(found));
}

Result<std::vector<TokenKind>> read_kinds(const GgufFile& file, TokenizerModel model) {
  if (const format::GgufArray* array = find_array(file, kKindsKey)) {
    if (const auto* s = std::get_if<std::vector<std::int64_t>>(array)) {
      return to_kinds(file, model, *s);
    }
    if (const auto* u = std::get_if<std::vector<std::uint64_t>>(array)) {
      return to_kinds(file, model, *u);
    }
  }
  return no_array(file, kKindsKey, "integers");
}

Result<void> read_tokens(const GgufFile& file, std::span<const std::string_view> texts,
                         Vocabulary& vocabulary) {
  TERN_ASSIGN(const auto kinds, read_kinds(file, vocabulary.model));
  if (kinds.size() != texts.size()) {
    return wrong_length(file, kKindsKey, texts.size(), kinds.size());
  }
  vocabulary.tokens.resize(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    vocabulary.tokens[i].kind = kinds[i];
    vocabulary.tokens[i].bytes = texts[i];
  }
  return {};
}

Result<void> decode_byte_alphabet(const GgufFile& file, std::span<const std::string_view> texts,
                                  Vocabulary& vocabulary) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Token& token = vocabulary.tokens[i];
    if (token.kind != TokenKind::kNormal) continue;
    auto bytes = bytes_of_alphabet_text(texts[i]);
    if (!bytes) {
      return malformed(file, kTokensKey,
                       element(i) + ": expected a normal token in the byte alphabet of GPT-2, " +
                           "found " + format::in_quotes(texts[i]));
    }
    token.bytes = std::move(*bytes);
  }
  return {};
}

// Reads merges such as "Ġ th"; the ids of normal tokens are found by their text in the file.
class MergeReader {
 public:
  MergeReader(const GgufFile& file, std::span<const std::string_view> texts,
              const Vocabulary& vocabulary)
      : file_(file), ids_(texts.size()) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (i + kFetchAhead < texts.size()) ids_.fetch(texts[i + kFetchAhead]);
      if (vocabulary.tokens[i].kind == TokenKind::kNormal) {
        ids_.insert(texts[i], static_cast<TokenId>(i));
      }
    }
  }

  Result<std::vector<Merge>> read(std::span<const std::string_view> texts) {
    std::array<Parts, kFetchAhead> parts;  // of some merges, whose places come from memory together
    std::vector<Merge> merges;
    merges.reserve(texts.size());
    for (std::size_t first = 0; first < texts.size(); first += parts.size()) {
      const std::size_t end = std::min(first + parts.size(), texts.size());
      for (std::size_t i = first; i < end; ++i) TERN_TRY(split(texts[i], i, parts[i - first]));
      for (std::size_t i = first; i < end; ++i) {
        TERN_ASSIGN(const Merge merge, merge_of(parts[i - first], texts[i], i));
        merges.push_back(merge);
      }
    }
    return merges;
  }

 private:
  struct Parts {
    std::string_view left;
    std::string_view right;
    std::string joined;
  };

  Result<void> split(std::string_view text, std::size_t index, Parts& parts) const {
    const std::size_t space = text.find(' ');  // a space is never part of a token's text
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return malformed(file_, kMergesKey,
                       element(index) + ": expected two tokens with a space between, found " +
                           format::in_quotes(text));
    }
    parts.left = text.substr(0, space);
    parts.right = text.substr(space + 1);
    parts.joined = parts.left;
    parts.joined += parts.right;
    ids_.fetch(parts.left);
    ids_.fetch(parts.right);
    ids_.fetch(parts.joined);
    return {};
  }

  Result<Merge> merge_of(const Parts& parts, std::string_view text, std::size_t index) const {
    std::array<TokenId, 3> found{};
    const std::array<std::string_view, 3> names{parts.left, parts.right, parts.joined};
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto id = ids_.find(names[i]);
      if (!id) {
        return malformed(file_, kMergesKey,
                         element(index) + ", " + format::in_quotes(text) +
                             ": expected normal tokens of " + std::string(kTokensKey) +
                             ", found no " + format::in_quotes(names[i]));
      }
      found[i] = *id;
    }
    return Merge{found[0], found[1], found[2], static_cast<std::uint32_t>(index)};
  }

  const GgufFile& file_;
  TokenIndex ids_;
};

Result<void> read_merges(const GgufFile& file, std::span<const std::string_view> texts,
                         Vocabulary& vocabulary) {
  TERN_ASSIGN(const auto merges, file.get_strings(kMergesKey));
  TERN_ASSIGN(vocabulary.merges, MergeReader(file, texts, vocabulary).read(merges));
  return {};
}

Result<std::optional<TokenId>> read_id(const GgufFile& file, std::string_view key,
                                       std::size_t count) {
  if (file.find(key) == nullptr) return std::optional<TokenId>();
  TERN_ASSIGN(const std::uint64_t id, file.get_uint(key));
  if (id >= count) {
    return malformed(file, key,
                     "expected an id below " + std::to_string(count) + ", the size of " +
                         std::string(kTokensKey) + ", found " + std::to_string(id));
  }
  return std::optional(static_cast<TokenId>(id));
}

Result<void> read_special_ids(const GgufFile& file, Vocabulary& vocabulary) {
  const std::size_t count = vocabulary.tokens.size();
  TERN_ASSIGN(vocabulary.bos, read_id(file, "tokenizer.ggml.bos_token_id", count));
  TERN_ASSIGN(vocabulary.eos, read_id(file, "tokenizer.ggml.eos_token_id", count));
  TERN_ASSIGN(vocabulary.eot, read_id(file, "tokenizer.ggml.eot_token_id", count));
  TERN_ASSIGN(vocabulary.unknown, read_id(file, "tokenizer.ggml.unknown_token_id", count));
  TERN_TRY(read_id(file, "tokenizer.ggml.padding_token_id", count));
  if (file.find(kAddBosKey) != nullptr) {
    TERN_ASSIGN(vocabulary.add_bos, file.get_bool_or(kAddBosKey, false));
  }
  TERN_ASSIGN(vocabulary.add_eos, file.get_bool_or("tokenizer.ggml.add_eos_token", false));
  return {};
}

// The published BitNet-b1.58-2B-4T files leave the key out. Llama 3's vocabulary, which is theirs,
// is known by its first special token; nothing else is guessed.
Result<std::string> read_pre_tokenizer(const GgufFile& file,
                                       std::span<const std::string_view> texts) {
  constexpr std::size_t kLlama3BeginOfText = 128000;
  if (file.find(kPreKey) == nullptr && texts.size() > kLlama3BeginOfText &&
      texts[kLlama3BeginOfText] == "<|begin_of_text|>") {
    return std::string("llama-bpe");
  }
  if (file.find(kPreKey) == nullptr) {
    return malformed(file, kPreKey,
                     "the key is missing and the vocabulary is not that of Llama 3; convert the "
                     "model again with the name of its pre-tokenizer");
  }
  TERN_ASSIGN(const std::string_view pre, file.get_string(kPreKey));
  if (pre == "default") {
    return unsupported(file, kPreKey,
                       "expected the name of a pre-tokenizer, found 'default', as early converters "
                       "of BitNet-embedding-270M wrote for a vocabulary that is SentencePiece's; "
                       "convert the model again so that " +
                           std::string(kModelKey) + " is 'llama'");
  }
  return std::string(pre);
}

void mark_end_tokens(Vocabulary& vocabulary) {
  std::vector<bool> made(vocabulary.tokens.size());
  for (const Merge& merge : vocabulary.merges) made[static_cast<std::size_t>(merge.result)] = true;
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    Token& token = vocabulary.tokens[i];
    if (token.kind == TokenKind::kNormal && !made[i] && is_end_name(token.bytes)) {
      token.kind = TokenKind::kControl;
    }
  }
}

Result<void> read_byte_level(const GgufFile& file, Vocabulary& vocabulary) {
  TERN_ASSIGN(const auto texts, file.get_strings(kTokensKey));
  TERN_ASSIGN(vocabulary.pre_tokenizer, read_pre_tokenizer(file, texts));
  TERN_TRY(read_tokens(file, texts, vocabulary));
  TERN_TRY(decode_byte_alphabet(file, texts, vocabulary));
  TERN_TRY(read_merges(file, texts, vocabulary));
  mark_end_tokens(vocabulary);
  return {};
}

Result<void> read_scores(const GgufFile& file, Vocabulary& vocabulary) {
  const format::GgufArray* array = find_array(file, kScoresKey);
  const auto* scores = array == nullptr ? nullptr : std::get_if<std::vector<double>>(array);
  if (scores == nullptr) return no_array(file, kScoresKey, "floats");
  if (scores->size() != vocabulary.tokens.size()) {
    return wrong_length(file, kScoresKey, vocabulary.tokens.size(), scores->size());
  }
  float first = 0.0f;  // of the normal tokens
  bool differ = false;
  std::size_t normal = 0;
  for (std::size_t i = 0; i < scores->size(); ++i) {
    Token& token = vocabulary.tokens[i];
    token.score = static_cast<float>((*scores)[i]);
    if (!std::isfinite(token.score)) {
      return malformed(file, kScoresKey,
                       element(i) + ": expected a number, found " + std::to_string(token.score));
    }
    if (token.kind != TokenKind::kNormal) continue;
    if (normal == 0) first = token.score;
    differ = differ || token.score != first;
    ++normal;
  }
  if (normal > 1 && !differ) {
    return malformed(file, kScoresKey,
                     "expected scores that differ, found one for all normal tokens: the file was "
                     "converted without its scores; convert the model again");
  }
  return {};
}

// The byte that "<0x0A>" names.
std::optional<char> byte_of_name(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return std::nullopt;
  const std::size_t high = kDigits.find(name[3]);
  const std::size_t low = kDigits.find(name[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
  return static_cast<char>(high << 4 | low);
}

// The texts of SentencePiece have U+2581 for a space, and the names of bytes.
Result<void> decode_pieces(const GgufFile& file, Vocabulary& vocabulary) {
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    Token& token = vocabulary.tokens[i];
    if (token.kind == TokenKind::kNormal || token.kind == TokenKind::kUserDefined) {
      token.bytes = spaces_of_sentence_piece(token.bytes);
    } else if (token.kind == TokenKind::kByte) {
      const auto byte = byte_of_name(token.bytes);
      if (!byte) {
        return malformed(file, kTokensKey,
                         element(i) + ": expected a byte token such as '<0x0A>', found " +
                             format::in_quotes(token.bytes));
      }
      token.bytes = *byte;
    }
  }
  return {};
}

Result<void> read_sentence_piece(const GgufFile& file, TokenizerModel model,
                                 Vocabulary& vocabulary) {
  vocabulary.model = model;
  TERN_ASSIGN(const auto pre, file.get_string_or(kPreKey, "default"));
  if (pre != "default") {
    return unsupported(file, kPreKey,
                       "expected 'default' or no such key, as SentencePiece has no "
                       "pre-tokenizer, found " +
                           format::in_quotes(pre));
  }
  if (file.find(kCharsmapKey) != nullptr) {
    return unsupported(file, kCharsmapKey,
                       "expected no such key: Tern does not normalise texts, and a text that is "
                       "not would become other tokens");
  }
  TERN_ASSIGN(const bool removes_spaces, file.get_bool_or(kExtraSpacesKey, false));
  if (removes_spaces) {
    return unsupported(file, kExtraSpacesKey, "expected false, found true: Tern keeps each space");
  }
  TERN_ASSIGN(vocabulary.add_space_prefix,
              file.get_bool_or("tokenizer.ggml.add_space_prefix", true));
  TERN_ASSIGN(const auto texts, file.get_strings(kTokensKey));
  TERN_TRY(read_tokens(file, texts, vocabulary));
  TERN_TRY(read_scores(file, vocabulary));
  return decode_pieces(file, vocabulary);
}

}  // namespace

std::string spaces_of_sentence_piece(std::string_view text) {
  constexpr std::string_view kSpace = "\u2581";
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at, kSpace.size()) == kSpace) {
      out += ' ';
      at += kSpace.size();
    } else {
      out += text[at++];
    }
  }
  return out;
}

bool is_end_name(std::string_view name) {
  return std::find(kEndNames.begin(), kEndNames.end(), name) != kEndNames.end();
}

Result<Vocabulary> read_vocabulary(const GgufFile& file) {
  Vocabulary vocabulary;
  TERN_ASSIGN(const std::string_view model, file.get_string(kModelKey));
  if (model == "gpt2") {
    TERN_TRY(read_byte_level(file, vocabulary));
  } else if (model == "llama") {
    TERN_TRY(read_sentence_piece(file, TokenizerModel::kSentencePiece, vocabulary));
  } else if (model == "t5") {
    TERN_TRY(read_sentence_piece(file, TokenizerModel::kUnigram, vocabulary));
  } else {
    return unsupported(
        file, kModelKey,
        "expected 'gpt2' (byte-level BPE), 'llama' (SentencePiece BPE) or 't5' (unigram), "
        "found " +
            format::in_quotes(model));
  }
  TERN_TRY(read_special_ids(file, vocabulary));
  return vocabulary;
}

}  // namespace tern::text
