// tokenizer.json of Hugging Face: byte-level BPE here, SentencePiece's models in pieces_json.
#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <unordered_map>

#include "arch/json_settings.h"
#include "convert/known_pre_tokenizers.h"
#include "convert/pieces_json.h"
#include "convert/vocabulary.h"
#include "core/keyed_hash.h"
#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

namespace json = boost::json;
using arch::JsonSettings;
using format::in_quotes;
using text::TokenKind;

class TokenizerReader {
 public:
  TokenizerReader(const JsonSettings& file, const SpecialNames& names, std::uint32_t vocab)
      : file_(file), names_(names), vocab_(vocab) {}

  Result<HfVocabulary> read() {
    TERN_ASSIGN(const json::object* model, object(file_, "model"));
    const JsonSettings settings(*model, file_.source() + ": model");
    TERN_TRY(read_model(settings));
    TERN_TRY(read_added_tokens());
    TERN_TRY(read_special_names());
    if (vocabulary_.model != text::TokenizerModel::kByteLevelBpe) {
      TERN_TRY(make_pieces(file_, settings, vocabulary_));
    }
    if (const json::value* post = file_.find("post_processor")) TERN_TRY(read_post(*post));
    return std::move(vocabulary_);
  }

 private:
  static Result<const json::object*> object(const JsonSettings& settings, const char* key) {
    const json::value* value = settings.find(key);
    if (value != nullptr && value->is_object()) return &value->get_object();
    return settings.malformed(key, "expected an object, found " + settings.shown(key));
  }
  static Result<const json::array*> array(const JsonSettings& settings, const char* key) {
    const json::value* value = settings.find(key);
    if (value != nullptr && value->is_array()) return &value->get_array();
    return settings.malformed(key, "expected a list, found " + settings.shown(key));
  }

  // Bytes as tokens of their own are SentencePiece's; byte-level BPE has no need of them.
  Result<void> read_model(const JsonSettings& model) {
    TERN_ASSIGN(const std::string type, model.text("type"));
    if (type == "Unigram") return read_unigram(model, vocabulary_);
    if (type != "BPE") {
      return model.unsupported("type", "expected 'BPE' or 'Unigram', found " + in_quotes(type));
    }
    TERN_TRY(check_bpe(model));
    TERN_ASSIGN(const bool pieces, model.flag_or("byte_fallback", false));
    if (pieces) {
      vocabulary_.model = text::TokenizerModel::kSentencePiece;
    } else {
      TERN_TRY(find_pre_tokenizer(model));
    }
    TERN_TRY(read_tokens(model));
    return read_merges(model);
  }

  static Result<void> check_bpe(const JsonSettings& model) {
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const json::value* value = model.find(key);
      if (value == nullptr || (value->is_string() && value->get_string().empty())) continue;
      if (value->is_double() && value->get_double() == 0.0) continue;
      return model.unsupported(key, "expected nothing, found " + model.shown(key));
    }
    return {};
  }

  Result<void> find_pre_tokenizer(const JsonSettings& model) {
    const json::value* normalizer = file_.find("normalizer");
    bool composes = false;
    if (normalizer != nullptr) {
      composes = essence(*normalizer) == "(type=\"NFC\")";
      if (!composes) {
        return file_.unsupported("normalizer",
                                 "expected none or NFC, found " + file_.shown("normalizer"));
      }
    }
    TERN_ASSIGN(const bool ignores, model.flag_or("ignore_merges", false));
    const json::value* pre = file_.find("pre_tokenizer");
    const std::string found = pre == nullptr ? "" : essence(*pre);
    for (const KnownPreTokenizer& known : known_pre_tokenizers()) {
      if (essence(known.part) != found || known.composes != composes) continue;
      if (known.ignores_merges != ignores) {
        return model.unsupported(
            "ignore_merges", std::string("expected ") + (known.ignores_merges ? "true" : "false") +
                                 " as the pre-tokenizer is that of " + std::string(known.name));
      }
      vocabulary_.pre_tokenizer = known.name;
      return {};
    }
    return file_.unsupported("pre_tokenizer",
                             "the pre-tokenizer is none of those that Tern knows (of gpt-2, olmo, "
                             "llama-bpe, qwen2 and falcon); found " +
                                 file_.shown("pre_tokenizer"));
  }

  Result<void> read_tokens(const JsonSettings& model) {
    TERN_ASSIGN(const json::object* vocab, object(model, "vocab"));
    std::vector<bool> seen;
    for (const auto& member : *vocab) {
      const std::string_view token(member.key().data(), member.key().size());
      const std::int64_t* id = member.value().if_int64();
      if (id == nullptr || *id < 0 || *id >= vocab_) {
        return model.malformed("vocab", expected_id(token) + json::serialize(member.value()));
      }
      const auto index = static_cast<std::size_t>(*id);
      if (index >= seen.size()) seen.resize(index + 1);
      if (seen[index]) {
        return model.malformed("vocab", "the id " + std::to_string(*id) + " of " +
                                            in_quotes(token) + " is another token's, too");
      }
      seen[index] = true;
      vocabulary_.put(static_cast<std::uint32_t>(*id), std::string(token), TokenKind::kNormal);
    }
    if (seen.empty()) return model.malformed("vocab", "expected tokens, found none");
    return {};
  }

  Result<void> read_merges(const JsonSettings& model) {
    TERN_ASSIGN(const json::array* merges, array(model, "merges"));
    vocabulary_.merges.reserve(merges->size());
    for (const json::value& merge : *merges) {
      if (merge.is_string()) {
        vocabulary_.merges.emplace_back(merge.get_string().data(), merge.get_string().size());
        continue;
      }
      const json::array* pair = merge.if_array();
      const bool two = pair != nullptr && pair->size() == 2 && pair->front().is_string() &&
                       pair->back().is_string();
      if (!two) {
        return model.malformed("merges",
                               "expected two tokens a merge, found " + json::serialize(merge));
      }
      std::string text(pair->front().get_string().data(), pair->front().get_string().size());
      text += ' ';
      text.append(pair->back().get_string().data(), pair->back().get_string().size());
      vocabulary_.merges.push_back(std::move(text));
    }
    return {};
  }

  std::string expected_id(std::string_view token) const {
    return "expected an id for " + in_quotes(token) + " below " + std::to_string(vocab_) +
           ", the vocab_size of config.json, found ";
  }

  Result<void> read_added_tokens() {
    if (file_.find("added_tokens") == nullptr) return {};
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      ids_.emplace(vocabulary_.tokens[i], static_cast<std::uint32_t>(i));
    }
    TERN_ASSIGN(const json::array* added, array(file_, "added_tokens"));
    for (const json::value& value : *added) {
      const json::object* entry = value.if_object();
      if (entry == nullptr) {
        return file_.malformed("added_tokens", "expected objects, found " + json::serialize(value));
      }
      TERN_TRY(add_token(JsonSettings(*entry, file_.source() + ": added_tokens")));
    }
    return {};
  }

  Result<void> add_token(const JsonSettings& entry) {
    TERN_ASSIGN(const std::string content, entry.text("content"));
    const json::value* id = entry.find("id");
    if (id == nullptr || !id->is_int64() || id->get_int64() < 0 || id->get_int64() >= vocab_) {
      return entry.malformed("id", expected_id(content) + entry.shown("id"));
    }
    TERN_TRY(check_plain_name(entry, content));
    TERN_ASSIGN(const bool special, entry.flag_or("special", false));
    const auto index = static_cast<std::uint32_t>(id->get_int64());
    const auto [known, is_new] = ids_.emplace(content, index);
    if (known->second != index) {
      return entry.malformed("id", in_quotes(content) + " has the ids " +
                                       std::to_string(known->second) + " and " +
                                       std::to_string(index));
    }
    vocabulary_.put(index, content, special ? TokenKind::kControl : TokenKind::kUserDefined);
    return {};
  }

  Result<void> read_special_names() {
    for (const auto& [name, id] :
         {std::pair(&names_.bos, &vocabulary_.bos), std::pair(&names_.eos, &vocabulary_.eos)}) {
      if (name->empty()) continue;
      *id = vocabulary_.find(*name);
      if (*id) continue;
      return file_.malformed("added_tokens", "the special token " + in_quotes(*name) +
                                                 " of tokenizer_config.json is no token");
    }
    return {};
  }

  // What is put before and behind a text.
  Result<void> read_post(const json::value& value) {
    const json::object* object = value.if_object();
    if (object == nullptr) {
      return file_.malformed("post_processor",
                             "expected an object, found " + file_.shown("post_processor"));
    }
    const JsonSettings post(*object, file_.source() + ": post_processor");
    TERN_ASSIGN(const std::string type, post.text("type"));
    if (type == "ByteLevel") return {};
    if (type == "Sequence") {
      TERN_ASSIGN(const json::array* parts, array(post, "processors"));
      for (const json::value& part : *parts) TERN_TRY(read_post(part));
      return {};
    }
    if (type != "TemplateProcessing") {
      return post.unsupported(
          "type", "expected ByteLevel, TemplateProcessing or Sequence, found " + in_quotes(type));
    }
    TERN_ASSIGN(const json::array* single, array(post, "single"));
    vocabulary_.add_bos = false;
    vocabulary_.add_eos = false;
    bool behind = false;
    for (const json::value& step : *single) {
      const json::object* part = step.if_object();
      if (part != nullptr && part->contains("Sequence")) {
        behind = true;
        continue;
      }
      TERN_TRY(read_template_token(post, step, behind));
    }
    return {};
  }

  Result<void> read_template_token(const JsonSettings& post, const json::value& step, bool behind) {
    const json::object* part = step.if_object();
    const json::value* token = part == nullptr ? nullptr : part->if_contains("SpecialToken");
    const json::value* id =
        token == nullptr || !token->is_object() ? nullptr : token->get_object().if_contains("id");
    if (id == nullptr || !id->is_string()) {
      return post.malformed(
          "single", "expected a SpecialToken or a Sequence, found " + json::serialize(step));
    }
    const std::string name(id->get_string().data(), id->get_string().size());
    const auto found = vocabulary_.find(name);
    const auto& wanted = behind ? vocabulary_.eos : vocabulary_.bos;
    auto& adds = behind ? vocabulary_.add_eos : vocabulary_.add_bos;
    if (!found || !wanted || *found != *wanted || *adds) {
      return post.unsupported("single", std::string("expected the ") + (behind ? "EOS" : "BOS") +
                                            " token once, found " + in_quotes(name));
    }
    adds = true;
    return {};
  }

  const JsonSettings& file_;
  const SpecialNames& names_;
  std::uint32_t vocab_;
  HfVocabulary vocabulary_;
  std::unordered_map<std::string, std::uint32_t, KeyedHash> ids_;  // while tokens are added
};

}  // namespace

std::optional<std::uint32_t> HfVocabulary::find(std::string_view token) const {
  const auto found = std::ranges::find(tokens, token);
  if (found == tokens.end()) return std::nullopt;
  return static_cast<std::uint32_t>(found - tokens.begin());
}

void HfVocabulary::put(std::uint32_t id, std::string token, TokenKind kind) {
  while (tokens.size() <= id) {
    tokens.push_back("[UNUSED" + std::to_string(tokens.size()) + "]");
    kinds.push_back(TokenKind::kUnused);
  }
  tokens[id] = std::move(token);
  kinds[id] = kind;
}

Result<void> check_plain_name(const JsonSettings& token, const std::string& content) {
  for (const char* key : {"lstrip", "rstrip", "single_word"}) {
    TERN_ASSIGN(const bool set, token.flag_or(key, false));
    if (!set) continue;
    return token.unsupported(key, "the token " + in_quotes(content) +
                                      " takes more of the text than its name, which is not "
                                      "supported");
  }
  return {};
}

Result<HfVocabulary> read_tokenizer_json(const json::object& file, const SpecialNames& names,
                                         std::uint32_t vocab, const std::string& source) {
  const JsonSettings settings(file, source);
  return TokenizerReader(settings, names, vocab).read();
}

}  // namespace tern::convert
