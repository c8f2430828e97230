// A tokenizer on its way from the files of a checkpoint into the keys of a GGUF file: its tokens,
// as each kind of file gives them.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "arch/json_settings.h"
#include "core/result.h"
#include "text/vocabulary.h"

namespace tern::convert {

struct HfVocabulary {
  text::TokenizerModel model = text::TokenizerModel::kByteLevelBpe;
  std::string pre_tokenizer;        // byte-level alone
  std::vector<std::string> tokens;  // as GGUF spells them: byte-level ones in GPT-2's alphabet
  std::vector<text::TokenKind> kinds;
  std::vector<float> scores;        // SentencePiece alone
  std::vector<std::string> merges;  // byte-level alone: "left right"
  bool add_space_prefix = true;     // SentencePiece alone
  std::optional<std::uint32_t> unknown;
  std::optional<std::uint32_t> bos;
  std::optional<std::uint32_t> eos;
  std::optional<std::uint32_t> pad;
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;

  // The id of a token by its spelling.
  std::optional<std::uint32_t> find(std::string_view token) const;
  // Puts a token at an id, behind the last one if need be; gaps are unused tokens.
  void put(std::uint32_t id, std::string token, text::TokenKind kind);
};

// The BOS and EOS tokens by name, empty: none, for what the post-processor adds.
struct SpecialNames {
  std::string bos;
  std::string eos;
};
// Errors: kUnsupported where an added token takes more of a text than its name.
Result<void> check_plain_name(const arch::JsonSettings& token, const std::string& content);

// tokenizer.json with byte-level BPE, whose pre-tokenizer is known by its content, or with
// SentencePiece's BPE or unigram; what is not known is refused. Ids are below `vocab`, the rows of
// the embedding. Errors: kMalformed, kUnsupported, with `source`.
Result<HfVocabulary> read_tokenizer_json(const boost::json::object& file, const SpecialNames& names,
                                         std::uint32_t vocab, const std::string& source);

// tokenizer.model of SentencePiece: BPE or unigram. Errors as above.
Result<HfVocabulary> read_sentence_piece_model(std::string_view bytes, const std::string& source);

// A tiktoken file, a line a token: base64 and rank. Only Llama 3's is known (by its content): such
// a file says nothing of its pre-tokenizer and special tokens.
bool is_tiktoken(std::string_view text);
Result<HfVocabulary> read_tiktoken(std::string_view text, const std::string& source);

}  // namespace tern::convert
