// The figures of a load: how long requests waited, how much came, how many were served well.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "diagnose/load/outcome.h"

namespace tern::diagnose {

// The smallest of the values, which ascend, that a `share` of them do not exceed (nearest rank):
// always one that was measured. Of at least one; 0 < share <= 1.
double percentile(std::span<const double> ascending, double share);

struct Spread {
  std::size_t count = 0;
  double mean = 0.0;
  double p50 = 0.0;
  double p95 = 0.0;
  double p99 = 0.0;
  double most = 0.0;
};
// All zero for no values.
Spread spread(std::vector<double> values);

// What a request must keep to be served well, in seconds.
struct Slo {
  std::optional<double> first_token;     // from when it was to be sent
  std::optional<double> between_tokens;  // the mean of one answer
};

struct Goodput {
  double requests_per_s = 0.0;
  double share = 0.0;  // of all requests, those that failed included
};

struct Failures {
  std::uint64_t count = 0;
  std::string example;  // the first message
};

// Of the requests behind the first `warmup`. Times are seconds.
struct LoadSummary {
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  double seconds = 0.0;             // from when the first was to be sent to the end of the last
  std::uint64_t prompt_tokens = 0;  // of those answered, as is
  std::uint64_t output_tokens = 0;
  Spread first_token;     // from when the request was to be sent, not from when it was
  Spread between_tokens;  // each from the one before it, of one answer
  Spread answer;          // whole, from when it was to be sent
  Spread late;            // how much later than intended requests were sent: the client's own part
  std::optional<Goodput> goodput;  // where there is an SLO
  std::map<std::string, Failures> failures;
};

LoadSummary summarise(const LoadOutcome& outcome, std::uint64_t warmup, const Slo& slo);

}  // namespace tern::diagnose
