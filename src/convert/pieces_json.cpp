#include "convert/pieces_json.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/keyed_hash.h"
#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

namespace json = boost::json;
using arch::JsonSettings;
using format::in_quotes;
using text::TokenizerModel;
using text::TokenKind;

constexpr std::string_view kSpace = "\u2581";
// As the loader has it: each is cut at each of its characters.
constexpr std::size_t kLongestToken = 1024;
constexpr const char* kBring = "; bring the tokenizer.model that it was made from";

bool is_byte_name(std::string_view token) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return token.size() == 6 && token.starts_with("<0x") && token[5] == '>' &&
         kDigits.find(token[3]) != std::string_view::npos &&
         kDigits.find(token[4]) != std::string_view::npos;
}

std::string replace() {
  return essence(json::object{{"type", "Replace"},
                              {"pattern", json::object{{"String", " "}}},
                              {"content", json::string_view(kSpace.data(), kSpace.size())}});
}

// A space before each text, and U+2581 for all of them.
std::string prepend_and_replace() {
  const json::object prepend{{"type", "Prepend"},
                             {"prepend", json::string_view(kSpace.data(), kSpace.size())}};
  return "(normalizers=" + essence(prepend) + ";" + replace() + ";)(type=\"Sequence\")";
}

// The characters of a token begin where a byte is no continuation.
bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

// Before the tokens: what SentencePiece itself does to a text, or nothing that Tern can do.
class Spaces {
 public:
  Spaces(const JsonSettings& file, HfVocabulary& vocabulary)
      : file_(file), vocabulary_(vocabulary) {}

  Result<void> read() {
    const json::value* normalizer = file_.find("normalizer");
    const std::string found = normalizer == nullptr ? "" : essence(*normalizer);
    const bool replaces = found == replace();
    const bool prepends = found == prepend_and_replace();
    if (normalizer != nullptr && !replaces && !prepends) {
      return file_.unsupported(
          "normalizer",
          "expected none, or U+2581 for each space with or without one before a "
          "text, found " +
              file_.shown("normalizer"));
    }
    vocabulary_.add_space_prefix = prepends;
    if (prepends) TERN_TRY(check_added());
    const json::value* pre = file_.find("pre_tokenizer");
    if (pre == nullptr && normalizer != nullptr) return {};
    if (pre == nullptr) {
      return file_.unsupported("pre_tokenizer",
                               "expected U+2581 for each space, by it or by the normalizer");
    }
    return read_pre_tokenizer(*pre, normalizer != nullptr);
  }

 private:
  Error unsupported(const std::string& message) const {
    return file_.unsupported("pre_tokenizer", message + ", found " + file_.shown("pre_tokenizer"));
  }

  // Hugging Face looks for normalized tokens in a text that has U+2581 before it, and puts one
  // behind any token of the user; SentencePiece does neither.
  Result<void> check_added() const {
    const json::value* added = file_.find("added_tokens");
    if (added == nullptr) return {};
    for (const json::value& value : added->get_array()) {
      const JsonSettings token(value.get_object(), file_.source() + ": added_tokens");
      TERN_ASSIGN(const std::string content, token.text("content"));
      TERN_ASSIGN(const bool special, token.flag_or("special", false));
      TERN_ASSIGN(const bool normalized, token.flag_or("normalized", !special));
      if (special && !normalized) continue;
      return token.unsupported(special ? "normalized" : "special",
                               "the token " + in_quotes(content) +
                                   " is not found where SentencePiece finds it, as texts begin "
                                   "with a space of their own" +
                                   kBring);
    }
    return {};
  }

  // A Split at spaces behind a normalizer that leaves none does nothing.
  Result<void> read_pre_tokenizer(const json::value& value, bool replaced) {
    const json::object* object = value.if_object();
    if (object == nullptr) return unsupported("expected an object");
    const JsonSettings pre(*object, file_.source() + ": pre_tokenizer");
    TERN_ASSIGN(const std::string type, pre.text("type"));
    const json::value* pattern = pre.find("pattern");
    if (type == "Split" && replaced && pattern != nullptr &&
        *pattern == json::value(json::object{{"String", " "}})) {
      return {};
    }
    if (type != "Metaspace" || replaced) return unsupported("expected Metaspace or none");
    TERN_ASSIGN(const std::string replacement, pre.text_or("replacement", kSpace));
    TERN_ASSIGN(const std::string scheme, pre.text_or("prepend_scheme", "always"));
    if (replacement != kSpace || scheme != "never") {
      return unsupported(
          "expected U+2581 for each space and a prepend_scheme of 'never': others put a space "
          "before some texts and not before others");
    }
    TERN_ASSIGN(const bool splits, pre.flag_or("split", true));
    return splits ? check_words() : Result<void>();
  }

  // Where words are cut before the model sees them, no token may reach from one into the next.
  Result<void> check_words() const {
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      if (vocabulary_.kinds[i] != TokenKind::kNormal) continue;
      if (vocabulary_.tokens[i].find(kSpace, 1) == std::string::npos) continue;
      return unsupported("the token " + in_quotes(vocabulary_.tokens[i]) +
                         " reaches over a space, at which the text is cut");
    }
    return {};
  }

  const JsonSettings& file_;
  HfVocabulary& vocabulary_;
};

// Scores that give the merges, best first, or the reason why none do.
class Merges {
 public:
  Merges(const JsonSettings& model, HfVocabulary& vocabulary)
      : model_(model), vocabulary_(vocabulary) {
    for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
      if (vocabulary.kinds[i] != TokenKind::kUnused) ids_.emplace(vocabulary.tokens[i], i);
    }
  }

  Result<void> to_scores() {
    vocabulary_.scores.assign(vocabulary_.tokens.size(),
                              -static_cast<float>(vocabulary_.merges.size()));
    for (std::size_t i = 0; i < vocabulary_.merges.size(); ++i) TERN_TRY(add(i));
    return check_complete();
  }

 private:
  Result<void> add(std::size_t index) {
    const std::string& merge = vocabulary_.merges[index];
    const std::size_t space = merge.find(' ');
    const bool two = space != std::string::npos && merge.find(' ', space + 1) == std::string::npos;
    const std::string left = merge.substr(0, space);
    const std::string right = two ? merge.substr(space + 1) : "";
    const auto token = ids_.find(left + right);
    if (!two || !ids_.contains(left) || !ids_.contains(right) || token == ids_.end()) {
      return model_.malformed(
          "merges", "expected two tokens that make a third one, found " + in_quotes(merge));
    }
    if (!seen_.insert(merge).second) {
      return model_.malformed("merges", in_quotes(merge) + " is there twice");
    }
    if (index > 0 && token->second == last_) return {};
    if (!made_.insert(token->second).second) {
      return model_.unsupported("merges", "those that make " + in_quotes(token->first) +
                                              " stand apart, so that it has no one score" + kBring);
    }
    last_ = token->second;
    vocabulary_.scores[token->second] = -static_cast<float>(index);
    return {};
  }

  // A token, or a character, of which SentencePiece makes tokens though it be none itself.
  bool is_part(const std::string& part) const {
    return ids_.contains(part) || std::none_of(part.begin() + 1, part.end(), begins_character);
  }

  // SentencePiece makes a token of any two parts.
  Result<void> check_complete() const {
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      if (vocabulary_.kinds[i] != TokenKind::kNormal) continue;
      const std::string& token = vocabulary_.tokens[i];
      if (token.size() > kLongestToken) {
        return model_.unsupported("vocab", "expected tokens of at most " +
                                               std::to_string(kLongestToken) + " bytes, found " +
                                               std::to_string(token.size()));
      }
      for (std::size_t cut = 1; cut < token.size(); ++cut) {
        if (!begins_character(token[cut])) continue;
        const std::string left = token.substr(0, cut);
        const std::string right = token.substr(cut);
        if (!is_part(left) || !is_part(right)) continue;
        if (seen_.contains(left + " " + right)) continue;
        return model_.unsupported("merges", in_quotes(left + " " + right) +
                                                " is not there, but SentencePiece would make it" +
                                                kBring);
      }
    }
    return {};
  }

  const JsonSettings& model_;
  HfVocabulary& vocabulary_;
  std::unordered_map<std::string, std::size_t, KeyedHash> ids_;
  std::unordered_set<std::string, KeyedHash> seen_;
  std::unordered_set<std::size_t> made_;
  std::size_t last_ = 0;
};

Result<void> read_piece(const JsonSettings& model, const json::value& value,
                        HfVocabulary& vocabulary) {
  const json::array* pair = value.if_array();
  const bool right =
      pair != nullptr && pair->size() == 2 && pair->front().is_string() && pair->back().is_number();
  const double score = right ? pair->back().to_number<double>() : 0.0;
  if (!right || !std::isfinite(static_cast<float>(score))) {
    return model.malformed("vocab",
                           "expected a token and its score, found " + json::serialize(value));
  }
  vocabulary.tokens.emplace_back(pair->front().get_string().data(),
                                 pair->front().get_string().size());
  vocabulary.kinds.push_back(TokenKind::kNormal);
  vocabulary.scores.push_back(static_cast<float>(score));
  return {};
}

// The unknown token: BPE names it, unigram has its id. A model without one has bytes instead.
Result<void> mark_unknown(const JsonSettings& model, HfVocabulary& vocabulary) {
  if (vocabulary.model == TokenizerModel::kUnigram) {
    if (model.find("unk_id") != nullptr) {
      const json::value& id = *model.find("unk_id");
      const auto count = static_cast<std::int64_t>(vocabulary.tokens.size());
      if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() >= count) {
        return model.malformed("unk_id",
                               "expected the id of a token, found " + model.shown("unk_id"));
      }
      vocabulary.unknown = static_cast<std::uint32_t>(id.get_int64());
    }
  } else {
    TERN_ASSIGN(const std::string name, model.text_or("unk_token", ""));
    if (!name.empty()) {
      vocabulary.unknown = vocabulary.find(name);
      if (!vocabulary.unknown) {
        return model.malformed("unk_token", in_quotes(name) + " is no token");
      }
    }
  }
  if (vocabulary.unknown) vocabulary.kinds[*vocabulary.unknown] = TokenKind::kUnknown;
  return {};
}

}  // namespace

std::string essence(const json::value& part) {
  const json::object* object = part.if_object();
  if (object == nullptr) return json::serialize(part);
  std::vector<std::string> members;
  for (const auto& member : *object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key == "trim_offsets") continue;  // of offsets into the text alone
    std::string value;
    if (const json::array* list = member.value().if_array()) {
      for (const json::value& element : *list) value += essence(element) + ";";
    } else {
      value = essence(member.value());
    }
    members.push_back(std::string(key) + "=" + value);
  }
  std::ranges::sort(members);
  std::string out;
  for (const std::string& member : members) out += "(" + member + ")";
  return out;
}

Result<void> read_unigram(const JsonSettings& model, HfVocabulary& vocabulary) {
  vocabulary.model = TokenizerModel::kUnigram;
  const json::value* list = model.find("vocab");
  if (list == nullptr || !list->is_array() || list->get_array().empty()) {
    return model.malformed("vocab", "expected a list of tokens with their scores");
  }
  for (const json::value& value : list->get_array()) {
    TERN_TRY(read_piece(model, value, vocabulary));
  }
  return {};
}

Result<void> make_pieces(const JsonSettings& file, const JsonSettings& model,
                         HfVocabulary& vocabulary) {
  TERN_ASSIGN(const bool bytes, model.flag_or("byte_fallback", false));
  TERN_ASSIGN(const bool ignores, model.flag_or("ignore_merges", false));
  if (ignores) {
    return model.unsupported("ignore_merges", "expected false, as SentencePiece merges");
  }
  TERN_TRY(mark_unknown(model, vocabulary));
  for (std::size_t i = 0; bytes && i < vocabulary.tokens.size(); ++i) {
    if (is_byte_name(vocabulary.tokens[i])) vocabulary.kinds[i] = TokenKind::kByte;
  }
  if (vocabulary.model == TokenizerModel::kSentencePiece) {
    TERN_TRY(Merges(model, vocabulary).to_scores());
    vocabulary.merges.clear();
  }
  vocabulary.scores.resize(vocabulary.tokens.size());
  return Spaces(file, vocabulary).read();
}

}  // namespace tern::convert
