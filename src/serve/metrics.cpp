#include "serve/metrics.h"

#include <iterator>
#include <vector>

namespace tern::serve {
namespace {

// As in schemas/telemetry-v1.json.
constexpr telemetry::Help kCounters[] = {
    {"engine.generated_tokens", "Tokens that were generated."},
    {"engine.head_rows", "Rows of the head that were computed exactly for them."},
    {"engine.head_searches",
     "Tokens chosen from the largest logits alone, or from the largest that a draw makes of them."},
    {"engine.prompt_tokens", "Tokens of prompts whose computation began."},
    {"http.responses_2xx", "Exchanges that were answered as asked, to the end."},
    {"http.responses_4xx",
     "Exchanges that the client got wrong, came too early with or left; 501 and 505, too."},
    {"http.responses_5xx", "Exchanges that the server failed, though a stream had begun."},
    {"log.dropped_lines", "Lines of the log that were not written."},
    {"scheduler.finished", "Requests that ended, failed ones included."},
    {"scheduler.rows", "Tokens computed in steps of the scheduler, of prompts and answers."},
    {"scheduler.set_back", "Times that a request gave its pages to a senior one."},
    {"scheduler.steps", "Steps of the scheduler that had something to compute."},
};
constexpr telemetry::Help kHistograms[] = {
    {"http.between_tokens_seconds", "Between two tokens of one answer: the inter-token latency."},
    {"http.first_token_seconds", "From a request's head to its first token: TTFT."},
    {"scheduler.queue_seconds", "From a request's arrival to its first step."},
};

}  // namespace

void make_counters(telemetry::Telemetry& telemetry) {
  for (const telemetry::Help& each : kCounters) telemetry.counter(each.name);
}

std::string metrics_text(const telemetry::Telemetry& telemetry,
                         std::span<const telemetry::Gauge> gauges) {
  std::vector<telemetry::Help> help(std::begin(kCounters), std::end(kCounters));
  help.insert(help.end(), std::begin(kHistograms), std::end(kHistograms));
  return telemetry::prometheus_text(telemetry, gauges, help);
}

}  // namespace tern::serve
