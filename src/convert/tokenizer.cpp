#include "convert/tokenizer.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <set>
#include <utility>

#include "arch/json_settings.h"
#include "convert/vocabulary.h"
#include "core/json.h"
#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

namespace json = boost::json;
using arch::JsonSettings;
using format::GgufWriter;
using format::in_quotes;

constexpr std::size_t kMostText = std::size_t{64} << 20;
constexpr std::string_view kKeys = "tokenizer.ggml.";

class TokenizerAdder {
 public:
  TokenizerAdder(const Folder& folder, const json::object& config, std::uint32_t vocab,
                 GgufWriter& writer, std::vector<std::string>& files)
      : folder_(folder),
        config_(config, folder_.where("config.json")),
        vocab_(vocab),
        writer_(writer),
        files_(files) {}

  Result<void> add() {
    TERN_ASSIGN(settings_file_, read_object("tokenizer_config.json"));
    TERN_ASSIGN(generation_file_, read_object("generation_config.json"));
    TERN_ASSIGN(HfVocabulary vocabulary, read_vocabulary());
    TERN_TRY(read_special(vocabulary));
    TERN_TRY(check_count(vocabulary.tokens.size()));
    if (vocabulary.tokens.size() < vocab_) {
      vocabulary.put(vocab_ - 1, "[UNUSED" + std::to_string(vocab_ - 1) + "]",
                     text::TokenKind::kUnused);
      vocabulary.scores.resize(vocabulary.scores.empty() ? 0 : vocab_);
    }
    write(vocabulary);
    TERN_TRY(add_template());
    return add_sampling();
  }

 private:
  Result<void> check_count(std::uint64_t tokens) const {
    if (tokens <= vocab_) return {};
    return Error{ErrorCode::kMalformed,
                 "expected at most " + std::to_string(vocab_) +
                     " tokens, the vocab_size of config.json, found " + std::to_string(tokens),
                 folder_.where("") + ": tokenizer"};
  }

  bool has(const char* name) const { return folder_.has(name); }

  Result<std::string> read_text(const char* name) {
    TERN_ASSIGN(std::string text, tern::read_text(folder_, name, kMostText));
    files_.emplace_back(name);
    return text;
  }

  // An empty object where there is no such file.
  Result<json::object> read_object(const char* name) {
    if (!has(name)) return json::object();
    TERN_ASSIGN(const std::string text, read_text(name));
    auto value = parse_json(text);
    if (!value) return in_context(folder_.where(name), std::move(value.error()));
    if (value->is_object()) return std::move(value->get_object());
    return Error{ErrorCode::kMalformed, "expected an object", folder_.where(name)};
  }

  JsonSettings settings() const { return {settings_file_, folder_.where("tokenizer_config.json")}; }

  // The name of a special token, as a text or as an object with `content`; empty: none.
  Result<std::string> special_name(const char* key) const {
    const JsonSettings all = settings();
    const json::value* value = all.find(key);
    if (value == nullptr) return std::string();
    if (!value->is_object()) return all.text(key);
    return JsonSettings(value->get_object(), all.source() + ": " + key).text("content");
  }

  // tokenizer.model is what a SentencePiece tokenizer.json was made from, and says more.
  Result<HfVocabulary> read_vocabulary() {
    SpecialNames names;
    TERN_ASSIGN(names.bos, special_name("bos_token"));
    TERN_ASSIGN(names.eos, special_name("eos_token"));
    if (has("tokenizer.model")) {
      const std::string source = folder_.where("tokenizer.model");
      TERN_ASSIGN(const std::string bytes, read_text("tokenizer.model"));
      if (is_tiktoken(bytes)) {
        return has("tokenizer.json") ? read_json(names) : read_tiktoken(bytes, source);
      }
      TERN_ASSIGN(HfVocabulary vocabulary, read_sentence_piece_model(bytes, source));
      TERN_TRY(read_added_tokens(vocabulary));
      return vocabulary;
    }
    if (has("tokenizer.json")) return read_json(names);
    return Error{ErrorCode::kIo, "expected tokenizer.json or tokenizer.model", folder_.where("")};
  }

  Result<HfVocabulary> read_json(const SpecialNames& names) {
    TERN_ASSIGN(const json::object file, read_object("tokenizer.json"));
    return read_tokenizer_json(file, names, vocab_, folder_.where("tokenizer.json"));
  }

  // Tokens that were added to a SentencePiece model: added_tokens_decoder of tokenizer_config.json,
  // by id.
  Result<void> read_added_tokens(HfVocabulary& vocabulary) {
    const JsonSettings all = settings();
    const json::value* value = all.find("added_tokens_decoder");
    if (value == nullptr) return {};
    if (!value->is_object()) return all.malformed("added_tokens_decoder", "expected an object");
    std::vector<std::pair<std::uint32_t, const json::value*>> added;
    for (const auto& member : value->get_object()) {
      const std::string key(member.key().data(), member.key().size());
      const bool digits = !key.empty() && key.size() < 9 &&
                          key.find_first_not_of("0123456789") == std::string::npos;
      if (!digits || !member.value().is_object()) {
        return all.malformed("added_tokens_decoder",
                             "expected ids and objects, found " + in_quotes(key));
      }
      added.emplace_back(static_cast<std::uint32_t>(std::stoul(key)), &member.value());
    }
    std::ranges::sort(added, {}, [](const auto& entry) { return entry.first; });
    for (const auto& [id, entry] : added) {
      TERN_TRY(add_token(id, {entry->get_object(), all.source() + ": added_tokens_decoder"},
                         vocabulary));
    }
    return {};
  }

  // One that the model has as a piece, too, is found in a text before there are pieces all the
  // same.
  Result<void> add_token(std::uint32_t id, const JsonSettings& token,
                         HfVocabulary& vocabulary) const {
    TERN_ASSIGN(const std::string content, token.text("content"));
    TERN_TRY(check_plain_name(token, content));
    TERN_ASSIGN(const bool special, token.flag_or("special", false));
    const bool known = id < vocabulary.tokens.size();
    if (known && vocabulary.tokens[id] != content) {
      return token.malformed(std::to_string(id), "expected " + in_quotes(vocabulary.tokens[id]) +
                                                     " of tokenizer.model, found " +
                                                     in_quotes(content));
    }
    const bool fixed = known && (vocabulary.kinds[id] == text::TokenKind::kUnknown ||
                                 vocabulary.kinds[id] == text::TokenKind::kByte);
    if (fixed) return {};
    TERN_TRY(check_count(id));  // bounds the memory; all are counted at the end
    vocabulary.put(id, content,
                   special ? text::TokenKind::kControl : text::TokenKind::kUserDefined);
    vocabulary.scores.resize(vocabulary.tokens.size());
    return {};
  }

  // One id, or the first of a list; the others go to `more`.
  static Result<std::optional<std::uint32_t>> id_of(const JsonSettings& from, const char* key,
                                                    const HfVocabulary& vocabulary,
                                                    std::vector<std::uint32_t>& more) {
    const json::value* value = from.find(key);
    if (value == nullptr) return std::optional<std::uint32_t>();
    json::array ids;
    if (value->is_array()) {
      ids = value->get_array();
    } else {
      ids.push_back(*value);
    }
    for (const json::value& id : ids) {
      const std::int64_t* number = id.if_int64();
      if (number == nullptr || *number < 0 ||
          *number >= static_cast<std::int64_t>(vocabulary.tokens.size())) {
        return from.malformed(key, "expected the id of a token, below " +
                                       std::to_string(vocabulary.tokens.size()) + ", found " +
                                       from.shown(key));
      }
      more.push_back(static_cast<std::uint32_t>(*number));
    }
    if (more.empty()) return std::optional<std::uint32_t>();
    return std::optional(more.front());
  }

  // tokenizer_config.json names them; where it does not, config.json has their ids.
  Result<void> read_special(HfVocabulary& vocabulary) {
    TERN_ASSIGN(const std::string bos, special_name("bos_token"));
    TERN_ASSIGN(const std::string eos, special_name("eos_token"));
    TERN_ASSIGN(const std::string pad, special_name("pad_token"));
    std::vector<std::uint32_t> ignored;
    std::vector<std::uint32_t> ends;
    TERN_ASSIGN(const auto config_bos, id_of(config_, "bos_token_id", vocabulary, ignored));
    TERN_ASSIGN(const auto config_eos, id_of(config_, "eos_token_id", vocabulary, ends));
    const JsonSettings generation(generation_file_, folder_.where("generation_config.json"));
    TERN_TRY(id_of(generation, "eos_token_id", vocabulary, ends));
    if (!bos.empty()) vocabulary.bos = vocabulary.find(bos);
    if (!eos.empty()) vocabulary.eos = vocabulary.find(eos);
    if (!pad.empty()) vocabulary.pad = vocabulary.find(pad);
    if (!vocabulary.bos) vocabulary.bos = config_bos;
    if (!vocabulary.eos) vocabulary.eos = config_eos;
    for (const std::uint32_t id : ends) {
      if (id == vocabulary.eos || id == eot_) continue;
      if (!eot_) {
        eot_ = id;
      } else if (!text::is_end_name(vocabulary.tokens[id])) {
        return config_.unsupported("eos_token_id", "more than two tokens that end a text, and " +
                                                       in_quotes(vocabulary.tokens[id]) +
                                                       " is not known as one");
      }
    }
    return read_habits(vocabulary);
  }

  // Whether BOS and EOS are added: by the post-processor of tokenizer.json, by a setting, or both.
  Result<void> read_habits(HfVocabulary& vocabulary) const {
    const JsonSettings all = settings();
    for (const auto& [key, habit] : {std::pair("add_bos_token", &vocabulary.add_bos),
                                     std::pair("add_eos_token", &vocabulary.add_eos)}) {
      if (all.find(key) == nullptr) continue;
      TERN_ASSIGN(const bool set, all.flag_or(key, false));
      if (habit->value_or(set) != set) {
        return all.malformed(key, "tokenizer.json says otherwise in its post_processor");
      }
      *habit = set;
    }
    // Without either, SentencePiece's own files and the classes that read them add a BOS.
    const bool pieces = vocabulary.model != text::TokenizerModel::kByteLevelBpe;
    TERN_ASSIGN(const std::string name, all.text_or("tokenizer_class", ""));
    const bool adds = pieces && (has("tokenizer.model") || name.starts_with("Llama") ||
                                 name.starts_with("Gemma"));
    if (!vocabulary.add_bos) vocabulary.add_bos = adds && vocabulary.bos.has_value();
    if (!vocabulary.add_eos) vocabulary.add_eos = false;
    return {};
  }

  void set(std::string_view suffix, format::GgufWriterValue value) {
    writer_.set(std::string(kKeys) + std::string(suffix), std::move(value));
  }

  void write(HfVocabulary& vocabulary) {
    using text::TokenizerModel;
    const bool bytes = vocabulary.model == TokenizerModel::kByteLevelBpe;
    set("model", std::string(bytes                                                ? "gpt2"
                             : vocabulary.model == TokenizerModel::kSentencePiece ? "llama"
                                                                                  : "t5"));
    set("pre", bytes ? vocabulary.pre_tokenizer : std::string("default"));
    std::vector<std::int32_t> kinds;
    for (const text::TokenKind kind : vocabulary.kinds) {
      kinds.push_back(static_cast<std::int32_t>(kind));
    }
    set("tokens", std::move(vocabulary.tokens));
    if (!bytes) set("scores", std::move(vocabulary.scores));
    set("token_type", std::move(kinds));
    if (bytes) set("merges", std::move(vocabulary.merges));
    const auto set_id = [&](const char* key, const std::optional<std::uint32_t>& id) {
      if (id) set(key, *id);
    };
    set_id("bos_token_id", vocabulary.bos);
    set_id("eos_token_id", vocabulary.eos);
    set_id("eot_token_id", eot_);
    set_id("unknown_token_id", vocabulary.unknown);
    set_id("padding_token_id", vocabulary.pad);
    set("add_bos_token", *vocabulary.add_bos);
    set("add_eos_token", *vocabulary.add_eos);
    if (!bytes) set("add_space_prefix", vocabulary.add_space_prefix);
  }

  // chat_template.jinja goes before chat_template of tokenizer_config.json, as in transformers.
  Result<void> add_template() {
    if (has("chat_template.jinja")) {
      TERN_ASSIGN(std::string text, read_text("chat_template.jinja"));
      writer_.set("tokenizer.chat_template", std::move(text));
      return {};
    }
    const JsonSettings all = settings();
    const json::value* value = all.find("chat_template");
    if (value == nullptr) return {};
    if (!value->is_array()) {
      TERN_ASSIGN(std::string text, all.text("chat_template"));
      writer_.set("tokenizer.chat_template", std::move(text));
      return {};
    }
    std::set<std::string> names;
    for (const json::value& entry : value->get_array()) {
      if (!entry.is_object()) return all.malformed("chat_template", "expected objects in the list");
      const JsonSettings named(entry.get_object(), all.source() + ": chat_template");
      TERN_ASSIGN(const std::string name, named.text("name"));
      TERN_ASSIGN(std::string text, named.text("template"));
      if (!names.insert(name).second) {
        return all.malformed("chat_template",
                             "expected one template a name, found two of " + in_quotes(name));
      }
      const std::string suffix = name == "default" ? "" : "." + name;
      writer_.set("tokenizer.chat_template" + suffix, std::move(text));
    }
    return {};
  }

  // By the names that llama.cpp gave to defaults of sampling.
  Result<void> add_sampling() {
    constexpr std::array<std::pair<const char*, const char*>, 4> kReal{
        {{"temperature", "temp"},
         {"top_p", "top_p"},
         {"min_p", "min_p"},
         {"repetition_penalty", "penalty_repeat"}}};
    const JsonSettings from(generation_file_, folder_.where("generation_config.json"));
    for (const auto& [theirs, ours] : kReal) {
      if (from.find(theirs) == nullptr) continue;
      const json::value& value = *from.find(theirs);
      const double number = value.is_double()  ? value.get_double()
                            : value.is_int64() ? static_cast<double>(value.get_int64())
                                               : -1.0;
      if (!(number >= 0.0 && number <= 1e6)) {
        return from.malformed(theirs,
                              "expected a number of at least 0, found " + from.shown(theirs));
      }
      writer_.set("general.sampling." + std::string(ours), static_cast<float>(number));
    }
    if (from.find("top_k") == nullptr) return {};
    TERN_ASSIGN(const std::uint32_t top_k, from.count("top_k", 1u << 30));
    writer_.set("general.sampling.top_k", static_cast<std::int32_t>(top_k));
    return {};
  }

  const Folder& folder_;
  JsonSettings config_;
  std::uint32_t vocab_;
  GgufWriter& writer_;
  std::vector<std::string>& files_;
  json::object settings_file_;
  json::object generation_file_;
  std::optional<std::uint32_t> eot_;
};

}  // namespace

Result<void> add_tokenizer(const Folder& folder, const json::object& config, std::uint32_t vocab,
                           GgufWriter& writer, std::vector<std::string>& files) {
  return TokenizerAdder(folder, config, vocab, writer, files).add();
}

}  // namespace tern::convert
