#include "serve/logprobs_json.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <utility>

#include "text/utf8.h"

namespace tern::serve {

namespace json = boost::json;
using engine::TokenLogprob;

namespace {

std::string text_of(const text::Tokenizer& tokenizer, text::TokenId token) {
  return text::replace_invalid_utf8(tokenizer.token_bytes(token));
}

json::object one(const text::Tokenizer& tokenizer, const TokenLogprob& found) {
  json::array bytes;
  for (const char c : tokenizer.token_bytes(found.token)) {
    bytes.push_back(static_cast<std::int64_t>(static_cast<unsigned char>(c)));
  }
  return {{"token", text_of(tokenizer, found.token)},
          {"logprob", found.logprob},
          {"bytes", std::move(bytes)}};
}

}  // namespace

json::object chat_logprobs(const text::Tokenizer& tokenizer, std::span<const TokenLogprob> found) {
  json::object entry = one(tokenizer, found[0]);
  json::array top;
  for (const TokenLogprob& other : found.subspan(1)) top.push_back(one(tokenizer, other));
  entry["top_logprobs"] = std::move(top);
  return entry;
}

json::object text_logprobs(const text::Tokenizer& tokenizer, text::TokenId token,
                           std::span<const TokenLogprob> found, std::size_t offset) {
  json::value logprob;
  json::value top;
  if (!found.empty()) {
    logprob = found[0].logprob;
    json::object& others = top.emplace_object();
    for (const TokenLogprob& other : found.subspan(1)) {
      others.emplace(text_of(tokenizer, other.token),
                     other.logprob);  // of equal texts the likelier
    }
    others.emplace(text_of(tokenizer, token), found[0].logprob);  // one more, where it is none
  }
  json::object own;
  own["tokens"] = json::array{text_of(tokenizer, token)};
  own["token_logprobs"].emplace_array().push_back(std::move(logprob));
  own["top_logprobs"].emplace_array().push_back(std::move(top));
  own["text_offset"] = json::array{offset};
  return own;
}

std::size_t TextOffset::next(std::string_view bytes) {
  const std::size_t before = pending_.size();
  pending_ += bytes;
  std::size_t at = 0;
  std::size_t begin = whole_;
  while (at < pending_.size()) {
    const text::Utf8Sequence sequence = text::next_utf8(pending_, at);
    if (sequence.status == text::Utf8Status::kCut) break;
    ++whole_;
    at += sequence.length;
    if (at <= before) begin = whole_;
  }
  pending_.erase(0, at);
  return begin;
}

void TextOffset::end() {
  if (!std::exchange(pending_, std::string()).empty()) ++whole_;
}

LogprobsText::LogprobsText(bool chat)
    : lists_(chat ? std::vector<List>{{"content", ""}}
                  : std::vector<List>{{"tokens", ""},
                                      {"token_logprobs", ""},
                                      {"top_logprobs", ""},
                                      {"text_offset", ""}}),
      end_(chat ? R"(,"refusal":null})" : "}") {}

std::size_t LogprobsText::add(const json::object& token) {
  std::size_t added = 0;
  for (List& list : lists_) {
    const std::size_t before = list.items.size();
    if (before > 0) list.items += ',';
    list.items += json::serialize(token.at(list.name).get_array()[0]);
    added += list.items.size() - before;
  }
  return added;
}

void LogprobsText::move_to(std::string& text) {
  const char* before = "{\"";
  for (List& list : lists_) {
    text.append(before).append(list.name).append("\":[").append(list.items).append("]");
    list.items = {};
    before = ",\"";
  }
  text += end_;
}

}  // namespace tern::serve
