#include "diagnose/synth/vocabulary.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_alphabet.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace tern::diagnose {
namespace {

constexpr std::size_t kBytes = 256;
constexpr std::size_t kPairBytes = 96;    // printable ASCII and the newline
constexpr std::size_t kTripleBytes = 50;  // the most frequent of them
constexpr std::string_view kFrequent = " etaoinshrdlucmfwypvbgkjxqzETAOINSHRDLUCMFWYPVBGKJ";
static_assert(kFrequent.size() == kTripleBytes);

// Each byte as a character of the byte-level alphabet, in UTF-8.
std::vector<std::string> alphabet() {
  constexpr char32_t kEnd = 0x100 + kBytes;
  std::vector<std::string> characters(kBytes);
  for (char32_t c = 0; c < kEnd; ++c) {
    if (const auto byte = text::byte_of_character(c)) text::append_utf8(characters[*byte], c);
  }
  return characters;
}

// The characters that merge, the most frequent first.
std::vector<std::string> merging_characters(const std::vector<std::string>& alphabet) {
  std::vector<std::string> characters;
  const auto add = [&](char c) { characters.push_back(alphabet[static_cast<std::uint8_t>(c)]); };
  for (const char c : kFrequent) add(c);
  for (char c = ' '; c <= '~'; ++c) {
    if (kFrequent.find(c) == std::string_view::npos) add(c);
  }
  add('\n');
  return characters;
}

struct Tokens {
  std::vector<std::string> texts;
  std::vector<std::string> merges;
  std::size_t normal;  // of texts

  bool full() const { return texts.size() == normal; }
  void merge(const std::string& left, const std::string& right) {
    texts.push_back(left + right);
    merges.push_back(left + " " + right);
  }
};

void add_merges(Tokens& tokens, const std::vector<std::string>& characters) {
  for (std::size_t i = 0; i < kPairBytes * kPairBytes && !tokens.full(); ++i) {
    tokens.merge(characters[i / kPairBytes], characters[i % kPairBytes]);
  }
  for (std::size_t i = 0; i < kTripleBytes * kTripleBytes * kTripleBytes && !tokens.full(); ++i) {
    const std::size_t pair = i / kTripleBytes;
    tokens.merge(characters[pair / kTripleBytes] + characters[pair % kTripleBytes],
                 characters[i % kTripleBytes]);
  }
}

constexpr std::uint32_t kBos = 0, kEos = 1, kEot = 9;  // among the special tokens

std::string special_name(std::uint32_t index) {
  if (index == kBos) return "<|begin_of_text|>";
  if (index == kEos) return "<|end_of_text|>";
  if (index == kEot) return "<|eot_id|>";
  return "<|reserved_special_token_" + std::to_string(index) + "|>";
}

}  // namespace

void write_synth_vocabulary(std::uint32_t size, format::GgufWriter& writer) {
  const std::uint32_t normal = size - kSynthSpecialTokens;
  Tokens tokens{alphabet(), {}, normal};
  add_merges(tokens, merging_characters(tokens.texts));
  std::vector<std::int32_t> kinds(size, static_cast<std::int32_t>(text::TokenKind::kControl));
  std::fill_n(kinds.begin(), normal, static_cast<std::int32_t>(text::TokenKind::kNormal));
  for (std::uint32_t i = 0; i < kSynthSpecialTokens; ++i) tokens.texts.push_back(special_name(i));
  writer.set("tokenizer.ggml.model", std::string("gpt2"));
  writer.set("tokenizer.ggml.pre", std::string("llama-bpe"));
  writer.set("tokenizer.ggml.tokens", std::move(tokens.texts));
  writer.set("tokenizer.ggml.token_type", std::move(kinds));
  writer.set("tokenizer.ggml.merges", std::move(tokens.merges));
  writer.set("tokenizer.ggml.bos_token_id", normal + kBos);
  writer.set("tokenizer.ggml.eos_token_id", normal + kEos);
  writer.set("tokenizer.ggml.eot_token_id", normal + kEot);
  writer.set("tokenizer.ggml.add_bos_token", true);
}

}  // namespace tern::diagnose
