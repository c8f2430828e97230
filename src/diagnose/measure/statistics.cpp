#include "diagnose/measure/statistics.h"

#include <algorithm>
#include <vector>

namespace tern::diagnose {
namespace {

double at(std::span<const double> sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Quartiles quartiles(std::span<const double> values) {
  if (values.empty()) return {};
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return {at(sorted, 0.25), at(sorted, 0.5), at(sorted, 0.75), sorted.size()};
}

}  // namespace tern::diagnose
