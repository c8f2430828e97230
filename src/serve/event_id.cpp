#include <algorithm>
#include <charconv>

#include "serve/completion_request.h"

namespace tern::serve {

namespace {

constexpr std::size_t kMostBytes = 4096;

template <typename T>
bool read_number(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

// "chatcmpl-0123abcd.SEED.COUNT-COUNT"
std::string EventId::to_string() const {
  std::string text = completion + "." + std::to_string(seed) + ".";
  for (std::size_t i = 0; i < sent.size(); ++i) {
    text += (i == 0 ? "" : "-") + std::to_string(sent[i]);
  }
  return text;
}

std::optional<EventId> EventId::parse(std::string_view text) {
  EventId id;
  const std::size_t first = text.find('.');
  const std::size_t second = text.find('.', first + 1);
  if (text.size() > kMostBytes || second == std::string_view::npos) return std::nullopt;
  id.completion = std::string(text.substr(0, first));
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (!std::all_of(id.completion.begin(), id.completion.end(), plain)) return std::nullopt;
  if (!read_number(text.substr(first + 1, second - first - 1), id.seed)) return std::nullopt;
  for (std::string_view rest = text.substr(second + 1);;) {
    const std::size_t end = std::min(rest.find('-'), rest.size());
    id.sent.emplace_back();
    if (!read_number(rest.substr(0, end), id.sent.back())) return std::nullopt;
    if (end == rest.size()) return id;
    rest.remove_prefix(end + 1);
  }
}

}  // namespace tern::serve
