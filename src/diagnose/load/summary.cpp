#include "diagnose/load/summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tern::diagnose {
namespace {

std::vector<double> gaps(const RequestOutcome& request) {
  std::vector<double> found;
  for (std::size_t i = 1; i < request.pieces.size(); ++i) {
    found.push_back(request.pieces[i] - request.pieces[i - 1]);
  }
  return found;
}

bool keeps(const RequestOutcome& request, const Slo& slo) {
  if (!request.failure.empty()) return false;
  const double first = request.pieces.empty() ? request.ended : request.pieces.front();
  if (slo.first_token && first - request.intended > *slo.first_token) return false;
  if (!slo.between_tokens || request.pieces.size() < 2) return true;
  const double mean = (request.pieces.back() - request.pieces.front()) /
                      static_cast<double>(request.pieces.size() - 1);
  return mean <= *slo.between_tokens;
}

}  // namespace

double percentile(std::span<const double> ascending, double share) {
  const double rank = std::ceil(share * static_cast<double>(ascending.size()));
  const auto place = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
  return ascending[std::min(place, ascending.size() - 1)];
}

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {values.size(),
          sum / static_cast<double>(values.size()),
          percentile(values, 0.5),
          percentile(values, 0.95),
          percentile(values, 0.99),
          values.back()};
}

LoadSummary summarise(const LoadOutcome& outcome, std::uint64_t warmup, const Slo& slo) {
  LoadSummary summary;
  std::vector<double> first, between, whole, late;
  double begin = std::numeric_limits<double>::infinity();
  double end = 0.0;
  std::uint64_t kept = 0;
  for (const RequestOutcome& request : outcome.requests) {
    if (request.index < warmup) continue;
    begin = std::min(begin, request.intended);
    end = std::max(end, request.ended);
    late.push_back(request.sent - request.intended);
    kept += keeps(request, slo) ? 1 : 0;
    if (!request.failure.empty()) {
      ++summary.failed;
      Failures& kind = summary.failures[request.failure];
      if (kind.count++ == 0) kind.example = request.message;
      continue;
    }
    ++summary.answered;
    summary.prompt_tokens += request.prompt_tokens;
    summary.output_tokens += request.output_tokens;
    whole.push_back(request.ended - request.intended);
    if (!request.pieces.empty()) first.push_back(request.pieces.front() - request.intended);
    const auto own = gaps(request);
    between.insert(between.end(), own.begin(), own.end());
  }
  const std::uint64_t all = summary.answered + summary.failed;
  if (all > 0) summary.seconds = std::max(end - begin, 1e-9);
  if (all > 0 && (slo.first_token || slo.between_tokens)) {
    summary.goodput = Goodput{static_cast<double>(kept) / summary.seconds,
                              static_cast<double>(kept) / static_cast<double>(all)};
  }
  summary.first_token = spread(std::move(first));
  summary.between_tokens = spread(std::move(between));
  summary.answer = spread(std::move(whole));
  summary.late = spread(std::move(late));
  return summary;
}

}  // namespace tern::diagnose
