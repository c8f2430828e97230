// Source: sentencepiece_model.proto.
#include "convert/sentence_piece_writer.h"

#include <cstdint>
#include <cstring>
#include <optional>

namespace tern::convert {
namespace {

using text::TokenId;
using text::TokenKind;

void add_varint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7f));
  out += static_cast<char>(value);
}

void add_number(unsigned field, std::uint64_t value, std::string& out) {
  add_varint(field << 3, out);
  add_varint(value, out);
}

void add_bytes(unsigned field, std::string_view bytes, std::string& out) {
  add_varint(field << 3 | 2, out);
  add_varint(bytes.size(), out);
  out += bytes;
}

void add_float(unsigned field, float value, std::string& out) {
  add_varint(field << 3 | 5, out);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

// -1, of which a varint has all 64 bits, says that there is none.
std::uint64_t id_of(std::optional<TokenId> id) {
  return static_cast<std::uint64_t>(std::int64_t{id.value_or(-1)});
}

std::string trainer(const text::Vocabulary& vocabulary) {
  constexpr std::uint64_t kBpe = 2;
  bool bytes = false;
  for (const text::Token& token : vocabulary.tokens) {
    bytes = bytes || token.kind == TokenKind::kByte;
  }
  std::string out;
  add_number(3, kBpe, out);
  add_number(4, vocabulary.tokens.size(), out);
  add_number(35, bytes ? 1 : 0, out);  // byte_fallback
  add_number(40, id_of(vocabulary.unknown), out);
  add_number(41, id_of(vocabulary.bos), out);
  add_number(42, id_of(vocabulary.eos), out);
  add_number(43, id_of(std::nullopt), out);  // padding: tokenizer_config.json has it
  return out;
}

std::string normalizer(const text::Vocabulary& vocabulary) {
  std::string out;
  add_bytes(1, "identity", out);
  add_number(3, vocabulary.add_space_prefix ? 1 : 0, out);
  add_number(4, 0, out);  // remove_extra_whitespaces
  add_number(5, 1, out);  // escape_whitespaces
  return out;
}

}  // namespace

std::string write_sentence_piece_model(const text::Vocabulary& vocabulary,
                                       std::span<const std::string_view> texts) {
  std::string out;
  std::string piece;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    piece.clear();
    add_bytes(1, texts[i], piece);
    add_float(2, vocabulary.tokens[i].score, piece);
    add_number(3, static_cast<std::uint64_t>(vocabulary.tokens[i].kind), piece);
    add_bytes(1, piece, out);
  }
  add_bytes(2, trainer(vocabulary), out);
  add_bytes(3, normalizer(vocabulary), out);
  return out;
}

}  // namespace tern::convert
