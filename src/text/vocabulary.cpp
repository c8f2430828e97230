#include "text/vocabulary.h"

#include <algorithm>
#include <array>
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

std::string element(std::size_t i) { return "element " + std::to_string(i); }

// The integers of an array, whatever their width; the reader widens them to 64 bits.
template <typename T>
Result<std::vector<TokenKind>> to_kinds(const GgufFile& file, const std::vector<T>& values) {
  std::vector<TokenKind> kinds;
  kinds.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 1 || values[i] > 5) {
      return malformed(file, kKindsKey,
                       element(i) + ": expected 1 (normal), 2 (unknown), 3 (control), 4 (user " +
                           "defined) or 5 (unused), found " + std::to_string(values[i]));
    }
    kinds.push_back(static_cast<TokenKind>(values[i]));
  }
  return kinds;
}

Result<std::vector<TokenKind>> read_kinds(const GgufFile& file) {
  const format::GgufValue* value = file.find(kKindsKey);
  if (value != nullptr) {
    if (const auto* array = std::get_if<format::GgufArray>(value)) {
      if (const auto* s = std::get_if<std::vector<std::int64_t>>(array)) return to_kinds(file, *s);
      if (const auto* u = std::get_if<std::vector<std::uint64_t>>(array)) return to_kinds(file, *u);
    }
  }
  return malformed(file, kKindsKey,
                   "expected an array of integers, found " +
                       std::string(value == nullptr ? "none" : format::type_name(*value)));
}

Result<void> read_tokens(const GgufFile& file, std::span<const std::string_view> texts,
                         Vocabulary& vocabulary) {
  TERN_ASSIGN(const auto kinds, read_kinds(file));
  if (kinds.size() != texts.size()) {
    return malformed(file, kKindsKey,
                     "expected " + std::to_string(texts.size()) + " elements, as many as in " +
                         std::string(kTokensKey) + ", found " + std::to_string(kinds.size()));
  }
  vocabulary.tokens.resize(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Token& token = vocabulary.tokens[i];
    token.kind = kinds[i];
    if (token.kind != TokenKind::kNormal) {
      token.bytes = texts[i];
      continue;
    }
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
      if (vocabulary.tokens[i].kind == TokenKind::kNormal) {
        ids_.insert(texts[i], static_cast<TokenId>(i));
      }
    }
  }

  Result<Merge> read(std::string_view text, std::size_t index) {
    const std::size_t space = text.find(' ');  // a space is never part of a token's text
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return malformed(file_, kMergesKey,
                       element(index) + ": expected two tokens with a space between, found " +
                           format::in_quotes(text));
    }
    joined_ = text.substr(0, space);
    joined_ += text.substr(space + 1);
    const std::array<std::string_view, 3> parts{text.substr(0, space), text.substr(space + 1),
                                                joined_};
    std::array<TokenId, 3> found{};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto id = ids_.find(parts[i]);
      if (!id) {
        return malformed(file_, kMergesKey,
                         element(index) + ", " + format::in_quotes(text) +
                             ": expected normal tokens of " + std::string(kTokensKey) +
                             ", found no " + format::in_quotes(parts[i]));
      }
      found[i] = *id;
    }
    return Merge{found[0], found[1], found[2], static_cast<std::uint32_t>(index)};
  }

 private:
  const GgufFile& file_;
  TokenIndex ids_;
  std::string joined_;  // kept for its capacity
};

Result<void> read_merges(const GgufFile& file, std::span<const std::string_view> texts,
                         Vocabulary& vocabulary) {
  TERN_ASSIGN(const auto merges, file.get_strings(kMergesKey));
  MergeReader reader(file, texts, vocabulary);
  vocabulary.merges.reserve(merges.size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    TERN_ASSIGN(const Merge merge, reader.read(merges[i], i));
    vocabulary.merges.push_back(merge);
  }
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
  TERN_TRY(read_id(file, "tokenizer.ggml.unknown_token_id", count));
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

}  // namespace

bool is_end_name(std::string_view name) {
  return std::find(kEndNames.begin(), kEndNames.end(), name) != kEndNames.end();
}

Result<Vocabulary> read_vocabulary(const GgufFile& file) {
  Vocabulary vocabulary;
  TERN_ASSIGN(const std::string_view model, file.get_string(kModelKey));
  if (model != "gpt2") {
    Error error = malformed(file, kModelKey,
                            "expected 'gpt2' (byte-level BPE), found " + format::in_quotes(model));
    error.code = ErrorCode::kUnsupported;
    return error;
  }
  TERN_ASSIGN(const auto texts, file.get_strings(kTokensKey));
  TERN_ASSIGN(vocabulary.pre_tokenizer, read_pre_tokenizer(file, texts));
  TERN_TRY(read_tokens(file, texts, vocabulary));
  TERN_TRY(read_merges(file, texts, vocabulary));
  mark_end_tokens(vocabulary);
  TERN_TRY(read_special_ids(file, vocabulary));
  return vocabulary;
}

}  // namespace tern::text
