#include "engine/stop_scanner.h"

#include <algorithm>
#include <utility>

namespace tern::engine {

StopScanner::StopScanner(std::vector<std::string> stops, std::size_t shown) {
  for (std::size_t i = 0; i < stops.size(); ++i) {
    if (!stops[i].empty()) stops_.push_back({std::move(stops[i]), i < shown});
  }
}

std::string StopScanner::push(std::string_view text, bool may_stop) {
  if (stopped_) return {};
  held_ += text;
  if (!may_stop) early_ = held_.size();
  std::size_t earliest = std::string::npos;
  const Stop* found = nullptr;
  for (const Stop& stop : stops_) {
    const std::size_t size = stop.text.size();
    const std::size_t at = held_.find(stop.text, early_ < size ? 0 : early_ - size + 1);
    const bool sooner = at < earliest || (at == earliest && found && size < found->text.size());
    if (sooner) earliest = at, found = &stop;
  }
  if (found != nullptr) {
    stopped_ = true;
    held_.resize(earliest + (found->shown ? found->text.size() : 0));
    return std::exchange(held_, {});
  }
  // Keep the longest tail that begins a stop string.
  std::size_t keep = 0;
  for (const Stop& stop : stops_) {
    for (std::size_t n = std::min(stop.text.size() - 1, held_.size()); n > keep; --n) {
      if (held_.ends_with(std::string_view(stop.text).substr(0, n))) keep = n;
    }
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  early_ -= std::min(early_, shown.size());
  return shown;
}

std::string StopScanner::finish() { return std::exchange(held_, {}); }

}  // namespace tern::engine
