// Builds the tokenizer keys of a GGUF file from an input: any tokens, merges, scores, kinds and
// ids, now and then a key too few or of another type. What Tokenizer::from_gguf() refuses, it
// refuses with a message; with what it accepts, texts survive encode and decode.
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf_builder.h"
#include "streaming.h"
#include "text/byte_alphabet.h"
#include "text/normalizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using namespace tern::test;
using tern::fuzz::Input;
using tern::fuzz::require;
using tern::fuzz::require_streaming;
using tern::text::TokenId;
using tern::text::Tokenizer;

constexpr std::uint32_t kNormal = 1;
constexpr std::uint32_t kByte = 6;

struct Entry {
  std::string text;  // as the file writes it
  std::uint32_t kind = kNormal;
  float score = 0;
};

std::string alphabet_text(std::string_view bytes) {
  static const auto kCharacters = [] {
    std::array<std::string, 256> characters;
    for (char32_t c = 0; c < 0x200; ++c) {
      if (const auto byte = tern::text::byte_of_character(c)) {
        tern::text::append_utf8(characters[*byte], c);
      }
    }
    return characters;
  }();
  std::string text;
  for (const char byte : bytes) text += kCharacters[static_cast<unsigned char>(byte)];
  return text;
}

std::string byte_name(unsigned byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
}

// What an input says of a vocabulary.
struct Plan {
  bool sentence_piece;
  std::vector<Entry> tokens;
  std::vector<std::string> merges;
};

// All bytes, or all but one.
void add_bytes(Input& in, Plan& plan) {
  const bool all = in.below(8) != 0;
  const unsigned missing = in.byte();
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!all && byte == missing) continue;
    const std::string name = plan.sentence_piece
                                 ? byte_name(byte)
                                 : alphabet_text(std::string(1, static_cast<char>(byte)));
    plan.tokens.push_back({name, plan.sentence_piece ? kByte : kNormal});
  }
}

void add_tokens(Input& in, Plan& plan) {
  for (std::size_t count = in.below(24); count > 0; --count) {
    Entry entry;
    const std::size_t kind = in.below(32);
    entry.kind = kind < 8 ? static_cast<std::uint32_t>(kind) : kNormal;
    entry.score = in.below(64) == 0 ? in.take<float>() : static_cast<float>(in.byte()) / -4;
    const std::string_view bytes = in.bytes(in.below(8));
    const bool alphabet = !plan.sentence_piece && entry.kind == kNormal && in.below(16) != 0;
    entry.text = alphabet ? alphabet_text(bytes) : std::string(bytes);
    plan.tokens.push_back(std::move(entry));
  }
}

// Pairs of tokens, with the token that they make where it is to be there.
void add_merges(Input& in, Plan& plan) {
  for (std::size_t count = in.below(24); count > 0; --count) {
    const std::string left = plan.tokens[in.take<std::uint16_t>() % plan.tokens.size()].text;
    const std::string right = plan.tokens[in.take<std::uint16_t>() % plan.tokens.size()].text;
    plan.merges.push_back(left + " " + right);
    if (in.below(8) != 0) plan.tokens.push_back({left + right});
  }
}

class Keys {
 public:
  // Leaves key number `missing` out and gives number `bent` another type.
  Keys(std::size_t missing, std::size_t bent) : missing_(missing), bent_(bent) {}

  void set(std::string_view suffix, std::uint32_t type, const Bytes& value) {
    const std::string key = "tokenizer.ggml." + std::string(suffix);
    const std::size_t number = next_++;
    if (number == missing_) return;
    number == bent_ ? builder_.key(key, kF32, Bytes().put(1.0f)) : builder_.key(key, type, value);
  }
  void array(std::string_view suffix, std::uint32_t type, std::size_t count, const Bytes& values) {
    set(suffix, kArray, Bytes().u32(type).u64(count).append(values));
  }
  std::vector<std::byte> file() const { return builder_.file(0); }

 private:
  std::size_t missing_;
  std::size_t bent_;
  std::size_t next_ = 0;
  GgufBuilder builder_;
};

void set_tokens(const Plan& plan, Keys& keys) {
  Bytes texts;
  Bytes kinds;
  Bytes scores;
  for (const Entry& token : plan.tokens) {
    texts.text(token.text);
    kinds.u32(token.kind);
    scores.put(token.score);
  }
  keys.array("tokens", kString, plan.tokens.size(), texts);
  keys.array("token_type", kI32, plan.tokens.size(), kinds);
  if (plan.sentence_piece) {
    keys.array("scores", kF32, plan.tokens.size(), scores);
    return;
  }
  Bytes merges;
  for (const std::string& merge : plan.merges) merges.text(merge);
  keys.array("merges", kString, plan.merges.size(), merges);
}

std::vector<std::byte> make_file(Input& in) {
  constexpr std::array<std::string_view, 7> kPreTokenizers{
      "gpt-2", "llama-bpe", "falcon", "llama3", "default", "qwen2", "olmo"};
  Plan plan{.sentence_piece = in.flag(), .tokens = {}, .merges = {}};
  const std::size_t missing = in.byte();
  const std::size_t bent = in.byte();
  Keys keys(missing, bent);
  const std::string_view pre = kPreTokenizers[in.below(kPreTokenizers.size())];
  add_bytes(in, plan);
  add_tokens(in, plan);
  if (!plan.sentence_piece) add_merges(in, plan);
  const char* const of_pieces = in.flag() ? "llama" : "t5";
  keys.set("model", kString, Bytes().text(plan.sentence_piece ? of_pieces : "gpt2"));
  if (!plan.sentence_piece) keys.set("pre", kString, Bytes().text(pre));
  set_tokens(plan, keys);
  for (const char* key : {"bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id"}) {
    if (in.flag()) keys.set(key, kU32, Bytes().u32(in.take<std::uint16_t>() % 512u));
  }
  for (const char* key : {"add_bos_token", "add_eos_token", "add_space_prefix"}) {
    if (in.flag()) keys.set(key, kBool, Bytes().u8(in.flag() ? 1 : 0));
  }
  return keys.file();
}

// Whether each byte is a token of its own: others become U+FFFD.
bool has_all_bytes(const Tokenizer& tokenizer) {
  std::array<bool, 256> found{};
  for (std::size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const auto token = static_cast<TokenId>(id);
    const std::string_view bytes = tokenizer.token_bytes(token);
    if (bytes.size() == 1 && !tokenizer.is_special(token)) {
      found[static_cast<unsigned char>(bytes[0])] = true;
    }
  }
  return std::ranges::find(found, false) == found.end();
}

void require_tokenizer(const Tokenizer& tokenizer, bool parse_special, std::string_view text) {
  using tern::text::spaces_of_sentence_piece;
  const auto ids =
      tokenizer.encode(text, {.add_bos = false, .add_eos = false, .parse_special = parse_special});
  for (const TokenId id : ids) {
    require(id >= 0 && static_cast<std::size_t>(id) < tokenizer.vocab_size());
  }
  require_streaming(tokenizer, ids);
  // U+2581 is a space to SentencePiece, and text to the others: here the same for both. Some
  // compose.
  const std::string back = tokenizer.decode(ids, true);
  const auto normal = [](std::string_view t) {
    return tern::text::to_nfc(spaces_of_sentence_piece(t));
  };
  if (has_all_bytes(tokenizer)) require(normal(back) == normal(text));
  require(parse_special || tokenizer.decode(ids) == back);
  // Any ids at all: those of the vocabulary, and others.
  std::vector<TokenId> any;
  for (const char c : text) any.push_back(c < 0 ? c : static_cast<TokenId>(c) * 5);
  require_streaming(tokenizer, any);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  const std::vector<std::byte> bytes = make_file(in);
  const auto file = tern::format::GgufFile::parse(bytes, "fuzz");
  require(file.ok());
  const auto tokenizer = Tokenizer::from_gguf(*file);
  if (!tokenizer.ok()) {
    require(!tokenizer.error().message.empty() && tokenizer.error().context.starts_with("fuzz: "));
    return 0;
  }
  const bool parse_special = in.flag();
  require_tokenizer(*tokenizer, parse_special, in.rest());
  return 0;
}
