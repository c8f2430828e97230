#include "engine/stop_scanner.h"

#include <algorithm>
#include <utility>

namespace tern::engine {

StopScanner::StopScanner(std::vector<std::string> stops, bool shows_stop)
    : stops_(std::move(stops)), shows_stop_(shows_stop) {
  std::erase(stops_, "");
}

std::string StopScanner::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  std::size_t earliest = std::string::npos;
  std::size_t length = 0;
  for (const std::string& stop : stops_) {
    const std::size_t at = held_.find(stop);
    if (at > earliest || at == std::string::npos) continue;
    length = at < earliest ? stop.size() : std::min(length, stop.size());
    earliest = at;
  }
  if (earliest != std::string::npos) {
    stopped_ = true;
    held_.resize(earliest + (shows_stop_ ? length : 0));
    return std::exchange(held_, {});
  }
  // Keep the longest tail that begins a stop string.
  std::size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.ends_with(std::string_view(stop).substr(0, n))) keep = n;
    }
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopScanner::finish() { return std::exchange(held_, {}); }

}  // namespace tern::engine
