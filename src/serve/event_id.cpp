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
