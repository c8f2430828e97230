// From text to the token ids of a model and back: byte-level BPE, or SentencePiece's BPE.
//
// Any bytes can be encoded, valid UTF-8 or not, and decode(encode(text)) gives the same bytes back;
// only where a byte-level vocabulary has no token for a byte there is U+FFFD in its place, and
// SentencePiece gives a space for U+2581, by which it writes one.
// The time is O(n log n) in the length of the text, whatever the text.
//
// A Tokenizer owns all that it needs (the GGUF file may go), never changes after its construction
// and may be used by any number of threads at once. Move-only.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "text/token.h"
#include "text/vocabulary.h"

namespace tern::text {

struct EncodeOptions {
  // Without a value: as the file says (tokenizer.ggml.add_bos_token, add_eos_token).
  // A vocabulary without such a token adds none.
  std::optional<bool> add_bos = std::nullopt;
  std::optional<bool> add_eos = std::nullopt;
  // Whether "<|eot_id|>" in the text is that token. Leave it off for what a user wrote: then it is
  // the text that it looks like, and nobody can forge the turns of a chat.
  bool parse_special = false;
  // Ascending places: a name that begins before one and reaches it is text all the same.
  std::span<const std::size_t> no_names_at = {};
};

class Tokenizer {
 public:
  // Needs only the tokenizer.ggml.* keys: a file without tensors will do. Errors: kMalformed where
  // the keys contradict each other, kUnsupported for a model or pre-tokenizer that Tern lacks.
  static Result<Tokenizer> from_gguf(const format::GgufFile& file);
  static Result<Tokenizer> create(Vocabulary vocabulary);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // The places where names of special tokens begin.
  std::vector<std::size_t> special_names(std::string_view text) const;

  // The bytes of all tokens, end to end; they may be cut inside of a UTF-8 sequence (a
  // StreamDecoder is not). Special tokens give their names where `render_special`, else nothing.
  // Ids outside of the vocabulary give nothing. Most SentencePiece vocabularies put a space before
  // a text, and before what follows a special token: the first space there is dropped again.
  std::string decode(std::span<const TokenId> tokens, bool render_special = false) const;

  // The share of one token in that. `begins` says whether a text begins with it, which is so for
  // the first token and after a special one, and is brought up to date for the next. The view lives
  // as long as the Tokenizer.
  std::string_view text_of(TokenId token, bool& begins, bool render_special) const;

  // The bytes of one token, the name of a special one; empty outside of the vocabulary. Lives as
  // long as the Tokenizer.
  std::string_view token_bytes(TokenId token) const;

  std::size_t vocab_size() const;
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  std::optional<TokenId> eot() const;
  bool adds_bos() const;  // what EncodeOptions{} does

  // Control, unknown and unused tokens: those that are no text of their own.
  bool is_special(TokenId token) const;
  // eos, eot, and the tokens that by name end a text or a turn ("<|eot_id|>", "<|im_end|>", ...).
  bool is_end_of_generation(TokenId token) const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);

  std::unique_ptr<const State> state_;
};

}  // namespace tern::text
