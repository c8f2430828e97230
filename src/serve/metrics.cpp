#include "serve/metrics.h"

#include <iterator>

#include "core/process_use.h"

namespace tern::serve {
namespace {

// As in schemas/telemetry-v1.json.
constexpr telemetry::Help kCounters[] = {
    {"engine.generated_tokens", "Tokens that were generated."},
    {"engine.head_rows", "Rows of the head that were computed exactly for them."},
    {"engine.head_searches",
     "Tokens chosen from the largest logits alone, or from the largest that a draw makes of them."},
    {"engine.prompt_tokens", "Tokens of prompts whose computation began."},
    {"http.answers_cancelled", "Answers whose client left before their end."},
    {"http.answers_deadline", "Answers that deadline_ms or --answer-time ended."},
    {"http.answers_length", "Answers that max_tokens or the context ended."},
    {"http.answers_stop", "Answers that the model or a stop ended."},
    {"http.responses_2xx", "Exchanges that were answered as asked, to the end."},
    {"http.responses_429",
     "Those of 4xx that were turned away by a full queue or the limits of their key."},
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
    {"http.answer_seconds",
     "From the head of a request for answers that went well to the end of its reply."},
    {"http.between_tokens_seconds", "Between two tokens of one answer: the inter-token latency."},
    {"http.embedding_seconds", "The same of requests for embeddings."},
    {"http.first_token_seconds", "From a request's head to its first token: TTFT."},
    {"scheduler.queue_seconds", "From a request's arrival to its first step."},
};

}  // namespace

void make_counters(telemetry::Telemetry& telemetry) {
  for (const telemetry::Help& each : kCounters) telemetry.counter(each.name);
}

void add_process_metrics(std::vector<telemetry::Gauge>& gauges, std::optional<double> start) {
  const auto add = [&](const char* name, const char* help, std::optional<double> value,
                       bool counter = false) {
    if (value) gauges.push_back({name, help, *value, {}, counter, true});
  };
  const ProcessUse use = process_use();
  add("process.start_time_seconds", "When the process began, since 1970-01-01T00:00:00Z.", start);
  add("process.resident_memory_bytes", "Resident memory of the process.", use.resident_bytes);
  add("process.virtual_memory_bytes", "Addresses that the process has.", use.virtual_bytes);
  add("process.open_fds", "Descriptors that the process has open.", use.open_files);
  add("process.max_fds", "Descriptors that it may have.", use.most_files);
  add("process.cpu_seconds", "Processor time of the process, its own and the system's for it.",
      use.cpu_seconds, true);
}

void add_connection_metrics(std::vector<telemetry::Gauge>& gauges,
                            const net::ConnectionCounts& counts) {
  gauges.push_back({"http.connections", "Open connections, but those of administrators.",
                    static_cast<double>(counts.open.load())});
  gauges.push_back({"http.connections_refused",
                    "Connections beyond the most that there may be, told so or not.",
                    static_cast<double>(counts.refused.load()),
                    {},
                    true});
  gauges.push_back({"http.connections_starved",
                    "Times that no connection was taken for lack of descriptors.",
                    static_cast<double>(counts.starved.load()),
                    {},
                    true});
}

std::string metrics_text(const telemetry::Telemetry& telemetry,
                         std::span<const telemetry::Gauge> gauges) {
  std::vector<telemetry::Help> help(std::begin(kCounters), std::end(kCounters));
  help.insert(help.end(), std::begin(kHistograms), std::end(kHistograms));
  return telemetry::prometheus_text(telemetry, gauges, help);
}

}  // namespace tern::serve
