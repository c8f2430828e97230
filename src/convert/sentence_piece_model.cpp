// tokenizer.model of SentencePiece: a protobuf message, read field by field within its bounds.
// Source: sentencepiece_model.proto.
#include <bit>
#include <cmath>
#include <cstring>

#include "convert/vocabulary.h"
#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

using text::TokenKind;

// Wire types of protobuf.
constexpr std::uint64_t kVarint = 0;
constexpr std::uint64_t kFixed64 = 1;
constexpr std::uint64_t kBytes = 2;
constexpr std::uint64_t kFixed32 = 5;

struct Field {
  std::uint64_t number = 0;
  std::uint64_t type = 0;
  std::uint64_t integer = 0;  // of a varint
  float real = 0.0f;          // of four bytes
  std::string_view bytes;
};

class MessageReader {
 public:
  MessageReader(std::string_view bytes, const std::string& source)
      : rest_(bytes), source_(source) {}

  bool at_end() const { return rest_.empty(); }

  Result<Field> next() {
    Field field;
    TERN_ASSIGN(const std::uint64_t key, varint());
    field.number = key >> 3;
    field.type = key & 7u;
    if (field.type == kVarint) {
      TERN_ASSIGN(field.integer, varint());
    } else if (field.type == kBytes) {
      TERN_ASSIGN(const std::uint64_t length, varint());
      TERN_ASSIGN(field.bytes, take(length));
    } else if (field.type == kFixed32) {
      TERN_ASSIGN(const std::string_view four, take(4));
      std::memcpy(&field.real, four.data(), 4);
    } else if (field.type == kFixed64) {
      TERN_TRY(take(8));
    } else {
      return malformed("expected a wire type of 0, 1, 2 or 5, found " + std::to_string(field.type) +
                       "; this is no SentencePiece model");
    }
    return field;
  }

  Error malformed(std::string message) const {
    return Error{ErrorCode::kMalformed, std::move(message), source_};
  }

 private:
  Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      TERN_ASSIGN(const std::string_view byte, take(1));
      const auto bits = static_cast<unsigned char>(byte[0]);
      value |= std::uint64_t{bits & 0x7fu} << shift;
      if ((bits & 0x80u) == 0) return value;
    }
    return malformed("a number of more than 64 bits; this is no SentencePiece model");
  }

  Result<std::string_view> take(std::uint64_t count) {
    if (count > rest_.size()) {
      return malformed("the message ends inside a field: expected " + std::to_string(count) +
                       " bytes, found " + std::to_string(rest_.size()));
    }
    const std::string_view front = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return front;
  }

  std::string_view rest_;
  const std::string& source_;
};

class ModelReader {
 public:
  explicit ModelReader(const std::string& source) : source_(source) {}

  Result<HfVocabulary> read(std::string_view bytes) {
    MessageReader model(bytes, source_);
    while (!model.at_end()) {
      TERN_ASSIGN(const Field field, model.next());
      if (field.type != kBytes) continue;
      if (field.number == 1) TERN_TRY(read_piece(field.bytes));
      if (field.number == 2) TERN_TRY(read_trainer(field.bytes));
      if (field.number == 3) TERN_TRY(read_normalizer(field.bytes));
    }
    if (vocabulary_.tokens.empty()) return model.malformed("expected pieces, found none");
    if (type_ != kBpe && type_ != kUnigram) {
      return unsupported("expected a model type of 1 (unigram) or 2 (BPE), found " +
                         std::to_string(type_));
    }
    vocabulary_.model =
        type_ == kBpe ? text::TokenizerModel::kSentencePiece : text::TokenizerModel::kUnigram;
    for (auto* id : {&vocabulary_.unknown, &vocabulary_.bos, &vocabulary_.eos, &vocabulary_.pad}) {
      if (*id && **id >= vocabulary_.tokens.size()) *id = std::nullopt;  // -1: there is none
    }
    return std::move(vocabulary_);
  }

 private:
  static constexpr std::uint64_t kUnigram = 1;
  static constexpr std::uint64_t kBpe = 2;

  Error unsupported(std::string message) const {
    return Error{ErrorCode::kUnsupported, std::move(message), source_};
  }

  Result<void> read_piece(std::string_view bytes) {
    MessageReader piece(bytes, source_);
    std::string token;
    float score = 0.0f;
    std::uint64_t kind = 1;
    while (!piece.at_end()) {
      TERN_ASSIGN(const Field field, piece.next());
      if (field.number == 1 && field.type == kBytes) token = field.bytes;
      if (field.number == 2 && field.type == kFixed32) score = field.real;
      if (field.number == 3 && field.type == kVarint) kind = field.integer;
    }
    const std::string at = "piece " + std::to_string(vocabulary_.tokens.size());
    if (kind < 1 || kind > 6) {
      return piece.malformed(at + ": expected a type of 1 to 6, found " + std::to_string(kind));
    }
    if (!std::isfinite(score)) return piece.malformed(at + ": its score is no number");
    if (!format::is_utf8(token)) return piece.malformed(at + ": expected UTF-8");
    vocabulary_.tokens.push_back(std::move(token));
    vocabulary_.kinds.push_back(static_cast<TokenKind>(kind));
    vocabulary_.scores.push_back(score);
    return {};
  }

  // Ids are of 32 bits; -1 comes as 64 bits of ones.
  Result<void> read_trainer(std::string_view bytes) {
    MessageReader trainer(bytes, source_);
    vocabulary_.unknown = 0;
    vocabulary_.bos = 1;
    vocabulary_.eos = 2;
    while (!trainer.at_end()) {
      TERN_ASSIGN(const Field field, trainer.next());
      if (field.type != kVarint) continue;
      const auto id = static_cast<std::uint32_t>(field.integer);
      if (field.number == 3) type_ = field.integer;
      if (field.number == 24 && field.integer != 0) {
        return unsupported("spaces behind words (treat_whitespace_as_suffix) are not supported");
      }
      if (field.number == 40) vocabulary_.unknown = id;
      if (field.number == 41) vocabulary_.bos = id;
      if (field.number == 42) vocabulary_.eos = id;
      if (field.number == 43) vocabulary_.pad = id;
    }
    return {};
  }

  Result<void> read_normalizer(std::string_view bytes) {
    MessageReader normalizer(bytes, source_);
    bool removes_spaces = true;  // defaults of the message
    bool escapes = true;
    while (!normalizer.at_end()) {
      TERN_ASSIGN(const Field field, normalizer.next());
      if (field.number == 2 && !field.bytes.empty()) {
        return unsupported(
            "the model normalises texts (precompiled_charsmap), which Tern does "
            "not: they would become other tokens");
      }
      if (field.type != kVarint) continue;
      if (field.number == 3) vocabulary_.add_space_prefix = field.integer != 0;
      if (field.number == 4) removes_spaces = field.integer != 0;
      if (field.number == 5) escapes = field.integer != 0;
    }
    if (removes_spaces) {
      return unsupported(
          "the model removes extra spaces (remove_extra_whitespaces), which Tern "
          "does not");
    }
    if (!escapes) return unsupported("the model does not write spaces as U+2581");
    return {};
  }

  const std::string& source_;
  HfVocabulary vocabulary_;
  std::uint64_t type_ = kUnigram;
};

}  // namespace

Result<HfVocabulary> read_sentence_piece_model(std::string_view bytes, const std::string& source) {
  return ModelReader(source).read(bytes);
}

}  // namespace tern::convert
