#include "net/event_stream.h"

#include <algorithm>
#include <utility>

namespace tern::net {
namespace {

constexpr std::size_t kMostBytes = 16u << 20;

}  // namespace

void EventStreamReader::end_line(std::vector<std::string>& events) {
  const std::string line = std::exchange(line_, {});
  if (line.empty()) {
    if (has_data_) events.push_back(std::exchange(data_, {}));
    has_data_ = false;
    return;
  }
  const std::size_t colon = std::min(line.find(':'), line.size());
  if (std::string_view(line).substr(0, colon) != "data") return;  // a comment, or for others
  std::string_view value = std::string_view(line).substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
}

Result<std::vector<std::string>> EventStreamReader::feed(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char c : bytes) {
    const bool second = c == '\n' && after_return_;
    after_return_ = c == '\r';
    if (second) continue;
    if (c == '\n' || c == '\r') {
      end_line(events);
    } else {
      line_ += c;
    }
    if (line_.size() + data_.size() > kMostBytes) {
      return Error{ErrorCode::kMalformed, "expected events of at most 16 MiB, found a longer one",
                   ""};
    }
  }
  return events;
}

}  // namespace tern::net
