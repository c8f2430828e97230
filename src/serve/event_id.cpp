#include <algorithm>
#include <charconv>
#include <type_traits>

#include "core/sha256.h"
#include "serve/completion_request.h"

namespace tern::serve {

namespace {

constexpr std::size_t kMostBytes = 4096;

template <typename T>
bool read_number(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// Values one behind the other, each of which is read in one way.
class Bytes {
 public:
  template <typename T>
  requires std::is_arithmetic_v<T>
  void add(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);  // little-endian
  }
  void add(std::string_view text) {
    add(std::uint64_t{text.size()});
    bytes_ += text;
  }
  void add(std::optional<std::uint32_t> value) {
    add(value.has_value());
    add(value.value_or(0));
  }
  const std::string& all() const { return bytes_; }

 private:
  std::string bytes_;
};

void add_sampling(Bytes& bytes, const engine::SamplingOptions& sampling) {
  bytes.add(sampling.temperature);
  bytes.add(sampling.top_k);
  bytes.add(sampling.top_p);
  bytes.add(sampling.min_p);
  bytes.add(sampling.repeat_penalty);
  bytes.add(sampling.repeat_last_n);
  bytes.add(sampling.presence_penalty);
  bytes.add(sampling.frequency_penalty);
  bytes.add(std::uint64_t{sampling.bias.size()});
  for (const engine::TokenBias& bias : sampling.bias) {
    bytes.add(bias.token);
    bytes.add(bias.logit);
  }
  bytes.add(sampling.seed);
}

ApiError wrong_id(const std::string& message) {
  return {400, "Last-Event-ID: " + message, "invalid_request_error", "Last-Event-ID"};
}

}  // namespace

std::string request_mark(const CompletionRequest& request, std::uint32_t context) {
  Bytes bytes;
  bytes.add(request.chat);
  bytes.add(std::uint64_t{request.prompts.size()});
  for (const auto& prompt : request.prompts) {
    bytes.add(std::uint64_t{prompt.size()});
    for (const text::TokenId token : prompt) bytes.add(token);
  }
  for (const std::string& echo : request.echoes) bytes.add(std::string_view(echo));
  bytes.add(request.choices);
  bytes.add(request.prompt_logprobs);
  const engine::AnswerOptions& answer = request.answer;
  add_sampling(bytes, answer.sampling);
  bytes.add(std::uint64_t{answer.stops.size()});
  for (const std::string& stop : answer.stops) bytes.add(std::string_view(stop));
  bytes.add(std::uint64_t{answer.stop_tokens.size()});
  for (const text::TokenId token : answer.stop_tokens) bytes.add(token);
  bytes.add(answer.ignore_end);
  bytes.add(answer.min_tokens);
  bytes.add(std::uint64_t{answer.shown_stops});
  bytes.add(answer.logprobs);
  bytes.add(answer.max_tokens);
  if (!answer.max_tokens) bytes.add(context);  // where it ends
  return sha256_of(bytes.all()).substr(0, 8);
}

std::optional<ApiError> cannot_go_on(const EventId& id, const CompletionRequest& request,
                                     const ServedModel& model, std::uint32_t context) {
  if (!request.stream) return wrong_id("expected \"stream\": true beside it, found it not");
  if (!id.completion.ends_with(model.mark())) {
    return wrong_id("another model, version, type of keys or chat template began this answer");
  }
  const bool same = id.completion.ends_with(request_mark(request, context) + model.mark()) &&
                    id.sent.size() == request.prompts.size() * request.choices;
  if (same) return std::nullopt;
  return wrong_id(
      "expected the same request as before: another prompt, another option or other limits of the "
      "server (max-tokens, ctx-size) began this answer");
}

// "chatcmpl-0123abcd.SEED.TIME.COUNT-COUNT"
std::string EventId::to_string() const {
  std::string text = completion + "." + std::to_string(seed) + "." + std::to_string(created) + ".";
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (i > 0) text += '-';
    text += std::to_string(sent[i]);
  }
  return text;
}

std::optional<EventId> EventId::parse(std::string_view text) {
  EventId id;
  if (text.size() > kMostBytes || std::count(text.begin(), text.end(), '.') != 3) {
    return std::nullopt;
  }
  const auto next = [&] {
    const std::size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    text.remove_prefix(dot + 1);
    return part;
  };
  id.completion = std::string(next());
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (!std::all_of(id.completion.begin(), id.completion.end(), plain)) return std::nullopt;
  if (!read_number(next(), id.seed) || !read_number(next(), id.created)) return std::nullopt;
  if (id.created < 0 || id.created > kLatestCreated) return std::nullopt;
  for (;;) {
    const std::size_t end = std::min(text.find('-'), text.size());
    id.sent.emplace_back();
    if (!read_number(text.substr(0, end), id.sent.back())) return std::nullopt;
    if (end == text.size()) return id;
    text.remove_prefix(end + 1);
  }
}

}  // namespace tern::serve
