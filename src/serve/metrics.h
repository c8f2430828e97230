// What /metrics counts and measures, and what each of it is.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/http_server.h"
#include "telemetry/prometheus.h"
#include "telemetry/telemetry.h"

namespace tern::serve {

// Makes the counters that a server adds to: a rate misses the first count of one that appears with
// it.
void make_counters(telemetry::Telemetry& telemetry);

// What every program tells Prometheus of itself, by the names that all of them have, as far as the
// system says; `start`: seconds since 1970-01-01T00:00:00Z.
void add_process_metrics(std::vector<telemetry::Gauge>& gauges, std::optional<double> start);
void add_connection_metrics(std::vector<telemetry::Gauge>& gauges,
                            const net::ConnectionCounts& counts);

// Prometheus' text of all that `telemetry` holds, and of `gauges`.
std::string metrics_text(const telemetry::Telemetry& telemetry,
                         std::span<const telemetry::Gauge> gauges);

}  // namespace tern::serve
