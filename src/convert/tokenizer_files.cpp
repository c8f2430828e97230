#include "convert/tokenizer_files.h"

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "arch/hf_writer.h"
#include "convert/known_pre_tokenizers.h"
#include "convert/sentence_piece_writer.h"
#include "format/gguf/gguf_text.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace tern::convert {
namespace {

namespace json = boost::json;
using format::GgufFile;
using text::TokenizerModel;
using text::TokenKind;
using text::Vocabulary;

constexpr std::string_view kTemplate = "tokenizer.chat_template";

json::string to_json(std::string_view text) { return json::string(text.data(), text.size()); }

// nullptr where no tokenizer.json is known for it. Pre-tokenizers of several names are one.
const KnownPreTokenizer* find_known(const std::vector<KnownPreTokenizer>& all,
                                    const std::string& name) {
  const text::PreTokenizer* wanted = text::find_pre_tokenizer(name);
  for (const KnownPreTokenizer& known : all) {
    const text::PreTokenizer* found = text::find_pre_tokenizer(known.name);
    if (found->split == wanted->split && found->composes == wanted->composes &&
        found->takes_whole_tokens == wanted->takes_whole_tokens) {
      return &known;
    }
  }
  return nullptr;
}

class FilesMaker {
 public:
  FilesMaker(const GgufFile& file, json::object& config, FolderFiles& files)
      : file_(file), config_(config), files_(files) {}

  Result<void> make() {
    TERN_ASSIGN(vocabulary_, text::read_vocabulary(file_));
    if (vocabulary_.model == TokenizerModel::kUnigram) {
      return Error{ErrorCode::kUnsupported,
                   "a unigram tokenizer is not written to a checkpoint, because the classes of "
                   "transformers for it add tokens of their own; transcode to a GGUF file",
                   file_.source() + ": tokenizer.ggml.model"};
    }
    TERN_ASSIGN(texts_, file_.get_strings("tokenizer.ggml.tokens"));
    TERN_ASSIGN(const auto tokenizer, text::Tokenizer::from_gguf(file_));
    adds_bos_ = tokenizer.adds_bos();
    add_ids();
    if (vocabulary_.model == TokenizerModel::kByteLevelBpe) {
      TERN_TRY(add_tokenizer_json());
    } else {
      files_["tokenizer.model"] = write_sentence_piece_model(vocabulary_, texts_);
    }
    add_settings();
    add_generation();
    return {};
  }

 private:
  json::string text_of(text::TokenId id) const {
    return to_json(texts_[static_cast<std::size_t>(id)]);
  }

  // The ids that end a text are the EOS token, then the one that ends a turn.
  void add_ids() {
    if (vocabulary_.bos) config_["bos_token_id"] = *vocabulary_.bos;
    json::array ends;
    if (vocabulary_.eos) ends.emplace_back(*vocabulary_.eos);
    if (vocabulary_.eot && vocabulary_.eot != vocabulary_.eos) ends.emplace_back(*vocabulary_.eot);
    if (ends.size() == 1) config_["eos_token_id"] = ends.front();
    if (ends.size() > 1) config_["eos_token_id"] = std::move(ends);
  }

  Result<void> add_tokenizer_json() {
    const auto all = known_pre_tokenizers();
    const KnownPreTokenizer* pre = find_known(all, vocabulary_.pre_tokenizer);
    if (pre == nullptr) {
      return Error{
          ErrorCode::kUnsupported,
          "no tokenizer.json is known for the pre-tokenizer '" + vocabulary_.pre_tokenizer + "'",
          file_.source() + ": tokenizer.ggml.pre"};
    }
    TERN_ASSIGN(json::object model, bpe(pre->ignores_merges));
    const json::value normalizer =
        pre->composes ? json::value(json::object{{"type", "NFC"}}) : json::value();
    const json::object file{{"version", "1.0"},
                            {"truncation", nullptr},
                            {"padding", nullptr},
                            {"added_tokens", added_tokens()},
                            {"normalizer", normalizer},
                            {"pre_tokenizer", pre->part},
                            {"post_processor", post_processor()},
                            {"decoder", json::object{{"type", "ByteLevel"},
                                                     {"add_prefix_space", true},
                                                     {"trim_offsets", true},
                                                     {"use_regex", true}}},
                            {"model", std::move(model)}};
    files_["tokenizer.json"] = json::serialize(file);
    return {};
  }

  // Added tokens are in the vocabulary, too, so that their ids are theirs; unused ones are gaps.
  Result<json::object> bpe(bool ignores_merges) const {
    json::object vocab;
    vocab.reserve(texts_.size());
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      if (vocabulary_.tokens[i].kind != TokenKind::kUnused) vocab[to_json(texts_[i])] = i;
    }
    json::array merges;
    TERN_ASSIGN(const auto pairs, file_.get_strings("tokenizer.ggml.merges"));
    merges.reserve(pairs.size());
    for (const std::string_view pair : pairs) {
      const std::size_t space = pair.find(' ');
      merges.push_back(
          json::array{to_json(pair.substr(0, space)), to_json(pair.substr(space + 1))});
    }
    return json::object{{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", ignores_merges},
                        {"vocab", std::move(vocab)},
                        {"merges", std::move(merges)}};
  }

  json::array added_tokens() const {
    json::array added;
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      const TokenKind kind = vocabulary_.tokens[i].kind;
      if (kind != TokenKind::kControl && kind != TokenKind::kUserDefined) continue;
      added.push_back(json::object{{"id", i},
                                   {"content", to_json(texts_[i])},
                                   {"single_word", false},
                                   {"lstrip", false},
                                   {"rstrip", false},
                                   {"normalized", false},
                                   {"special", kind == TokenKind::kControl}});
    }
    return added;
  }

  // BOS before a text and EOS behind it, where they are added.
  json::value post_processor() const {
    const bool bos = adds_bos_ && vocabulary_.bos;
    const bool eos = vocabulary_.add_eos && vocabulary_.eos;
    if (!bos && !eos) return {};
    json::array single;
    json::array pair;
    json::object specials;
    const auto add_token = [&](text::TokenId id, int type) {
      const json::object part{
          {"SpecialToken", json::object{{"id", text_of(id)}, {"type_id", type}}}};
      if (type == 0) single.push_back(part);
      pair.push_back(part);
      specials[text_of(id)] = json::object{
          {"id", text_of(id)}, {"ids", json::array{id}}, {"tokens", json::array{text_of(id)}}};
    };
    for (const int type : {0, 1}) {
      const json::object text{
          {"Sequence", json::object{{"id", type == 0 ? "A" : "B"}, {"type_id", type}}}};
      if (bos) add_token(*vocabulary_.bos, type);
      if (type == 0) single.push_back(text);
      pair.push_back(text);
      if (eos) add_token(*vocabulary_.eos, type);
    }
    return json::object{{"type", "TemplateProcessing"},
                        {"single", std::move(single)},
                        {"pair", std::move(pair)},
                        {"special_tokens", std::move(specials)}};
  }

  std::string tokenizer_class() const {
    if (vocabulary_.model == TokenizerModel::kByteLevelBpe) return "PreTrainedTokenizerFast";
    return vocabulary_.add_space_prefix ? "LlamaTokenizer" : "GemmaTokenizer";
  }

  void add_settings() {
    json::object settings{{"tokenizer_class", tokenizer_class()}};
    if (vocabulary_.bos) settings["bos_token"] = text_of(*vocabulary_.bos);
    if (vocabulary_.eos) settings["eos_token"] = text_of(*vocabulary_.eos);
    const auto pad = file_.get_uint_or("tokenizer.ggml.padding_token_id", texts_.size());
    if (pad && *pad < texts_.size()) settings["pad_token"] = to_json(texts_[*pad]);
    settings["add_bos_token"] = adds_bos_;
    settings["add_eos_token"] = vocabulary_.add_eos;
    add_templates(settings);
    files_["tokenizer_config.json"] = json::serialize(settings);
  }

  // One stands alone, several are a list with names.
  void add_templates(json::object& settings) const {
    json::array named;
    for (const std::string_view key : file_.keys()) {
      const auto* text = std::get_if<std::string_view>(file_.find(key));
      if (text == nullptr || !key.starts_with(kTemplate)) continue;
      const std::string_view rest = key.substr(kTemplate.size());
      if (!rest.empty() && !rest.starts_with('.')) continue;
      named.push_back(json::object{{"name", rest.empty() ? "default" : to_json(rest.substr(1))},
                                   {"template", to_json(*text)}});
    }
    const bool alone = named.size() == 1 && named[0].at("name") == "default";
    if (alone) settings["chat_template"] = named[0].at("template");
    if (!alone && !named.empty()) settings["chat_template"] = std::move(named);
  }

  // Defaults by the names of transformers.
  void add_generation() {
    constexpr std::array<std::pair<const char*, const char*>, 5> kNames{
        {{"temp", "temperature"},
         {"top_p", "top_p"},
         {"min_p", "min_p"},
         {"penalty_repeat", "repetition_penalty"},
         {"top_k", "top_k"}}};
    json::object generation;
    for (const auto& [ours, theirs] : kNames) {
      const format::GgufValue* value = file_.find("general.sampling." + std::string(ours));
      if (value == nullptr) continue;
      if (const auto* real = std::get_if<double>(value)) {
        generation[theirs] = arch::few_digits(static_cast<float>(*real));
      } else if (const auto* whole = std::get_if<std::int64_t>(value); whole && *whole > 0) {
        generation[theirs] = *whole;
      }
    }
    if (!generation.empty()) files_["generation_config.json"] = json::serialize(generation);
  }

  const GgufFile& file_;
  json::object& config_;
  FolderFiles& files_;
  Vocabulary vocabulary_;
  std::span<const std::string_view> texts_;
  bool adds_bos_ = false;
};

// What is not the same; empty: nothing that a text or a model meets.
std::string difference(const Vocabulary& a, const Vocabulary& b) {
  if (a.model != b.model) return "the model of the tokenizer";
  const bool pieces = a.model != TokenizerModel::kByteLevelBpe;
  for (std::size_t i = 0; i < std::max(a.tokens.size(), b.tokens.size()); ++i) {
    // Behind the last token there are unused ones, whose names are nothing.
    const auto kind = [&](const Vocabulary& of) {
      return i < of.tokens.size() ? of.tokens[i].kind : TokenKind::kUnused;
    };
    std::string token = "token " + std::to_string(i);
    if (kind(a) != kind(b)) return "the kind of " + token;
    if (kind(a) == TokenKind::kUnused) continue;
    if (a.tokens[i].bytes != b.tokens[i].bytes) return token;
    if (pieces && a.tokens[i].score != b.tokens[i].score) return "the score of " + token;
  }
  for (std::size_t i = 0; i < std::max(a.merges.size(), b.merges.size()); ++i) {
    const bool there = i < a.merges.size() && i < b.merges.size();
    const auto of = [&](const Vocabulary& v) {
      return std::array{v.merges[i].left, v.merges[i].right, v.merges[i].result};
    };
    if (!there || of(a) != of(b)) return "merge " + std::to_string(i);
  }
  if (pieces && a.add_space_prefix != b.add_space_prefix) return "the space before a text";
  if (pieces && a.unknown != b.unknown) return "the unknown token";
  if (a.bos != b.bos) return "the BOS token";
  if (a.eos != b.eos) return "the EOS token";
  if (a.eot != b.eot && !(a.eot == a.eos && !b.eot)) return "the token that ends a turn";
  if (a.add_eos != b.add_eos) return "whether EOS is added";
  return "";
}

}  // namespace

Result<void> make_tokenizer_files(const GgufFile& file, json::object& config, FolderFiles& files) {
  return FilesMaker(file, config, files).make();
}

Result<void> check_same_tokenizer(const GgufFile& before, const GgufFile& after) {
  TERN_ASSIGN(const Vocabulary a, text::read_vocabulary(before));
  TERN_ASSIGN(const Vocabulary b, text::read_vocabulary(after));
  TERN_ASSIGN(const auto of_before, text::Tokenizer::from_gguf(before));
  TERN_ASSIGN(const auto of_after, text::Tokenizer::from_gguf(after));
  std::string found = difference(a, b);
  if (found.empty() && of_before.adds_bos() != of_after.adds_bos()) found = "whether BOS is added";
  if (found.empty()) return {};
  return Error{ErrorCode::kUnsupported,
               "a checkpoint's files cannot say the tokenizer of this file: what they say would "
               "differ in " +
                   found,
               before.source()};
}

}  // namespace tern::convert
