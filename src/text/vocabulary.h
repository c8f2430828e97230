// What a tokenizer is made of, as plain data: tokens, merges, the name of the pre-tokenizer.
// Tokenizer::create() checks it; read_vocabulary() fills it from the keys of a GGUF file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "text/token.h"

namespace tern::text {

// The values are those of tokenizer.ggml.token_type.
enum class TokenKind : std::uint8_t {
  kNormal = 1,       // text that BPE makes
  kUnknown = 2,      // a name, never text
  kControl = 3,      // a name, found in text only where parse_special is set
  kUserDefined = 4,  // text that is found before BPE, always
  kUnused = 5,       // a name that fills a gap in the ids, never found in text
  kByte = 6,         // one byte of a character for which SentencePiece has no token
};

struct Token {
  std::string bytes;  // of a normal, user-defined or byte token its text; of any other its name
  TokenKind kind = TokenKind::kNormal;
  float score = 0.0f;  // SentencePiece: the pair that makes the highest goes first; unigram: summed
};

// Two neighbouring tokens become one; the lowest rank goes first, equal ranks from the left.
struct Merge {
  TokenId left = 0;
  TokenId right = 0;
  TokenId result = 0;
  std::uint32_t rank = 0;
};

enum class TokenizerModel : std::uint8_t {
  kByteLevelBpe,   // tokenizer.ggml.model "gpt2"
  kSentencePiece,  // "llama"
  kUnigram,        // "t5"
};

struct Vocabulary {
  TokenizerModel model = TokenizerModel::kByteLevelBpe;
  std::vector<Token> tokens;  // the index is the id
  std::vector<Merge> merges;  // byte-level BPE only; those of SentencePiece follow from scores
  std::string pre_tokenizer;  // byte-level BPE only: "gpt-2", "llama-bpe"
  bool add_space_prefix =
      true;  // not byte-level BPE: whether a text begins with a space of its own
  std::optional<TokenId> unknown;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> eot;
  std::optional<bool> add_bos;  // without a value: the habit of the model or pre-tokenizer
  bool add_eos = false;
};

// Whether a token of this name ends a text or a turn: "<|eot_id|>", "<|im_end|>", ...
bool is_end_name(std::string_view name);

// The text with a space for each U+2581, the character by which SentencePiece writes one: it cannot
// tell them apart.
std::string spaces_of_sentence_piece(std::string_view text);

// Errors: kMalformed with the key, what was expected and what was found; kUnsupported for a
// tokenizer.ggml.model other than gpt2, llama and t5, and for what Tern does not do with the
// latter.
Result<Vocabulary> read_vocabulary(const format::GgufFile& file);

}  // namespace tern::text
