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
  kNormal = 1,       // bytes that BPE makes
  kUnknown = 2,      // a name, never text
  kControl = 3,      // a name, found in text only where parse_special is set
  kUserDefined = 4,  // text that is found before BPE, always
  kUnused = 5,       // a name that fills a gap in the ids, never found in text
};

struct Token {
  std::string bytes;  // of a normal or user-defined token; of any other its name
  TokenKind kind = TokenKind::kNormal;
};

// Two neighbouring tokens become one; the lowest rank goes first, equal ranks from the left.
struct Merge {
  TokenId left = 0;
  TokenId right = 0;
  TokenId result = 0;
  std::uint32_t rank = 0;
};

struct Vocabulary {
  std::vector<Token> tokens;  // the index is the id
  std::vector<Merge> merges;
  std::string pre_tokenizer;  // "gpt-2", "llama-bpe"
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> eot;
  std::optional<bool> add_bos;  // without a value: the pre-tokenizer's habit
  bool add_eos = false;
};

// Whether a token of this name ends a text or a turn: "<|eot_id|>", "<|im_end|>", ...
bool is_end_name(std::string_view name);

// Errors: kMalformed with the key, what was expected and what was found; kUnsupported for a
// tokenizer.ggml.model other than gpt2.
Result<Vocabulary> read_vocabulary(const format::GgufFile& file);

}  // namespace tern::text
