// What /metrics counts and measures, and what each of it is.
#pragma once

#include <span>
#include <string>

#include "telemetry/prometheus.h"
#include "telemetry/telemetry.h"

namespace tern::serve {

// Makes the counters that a server adds to: a rate misses the first count of one that appears with
// it.
void make_counters(telemetry::Telemetry& telemetry);

// Prometheus' text of all that `telemetry` holds, and of `gauges`.
std::string metrics_text(const telemetry::Telemetry& telemetry,
                         std::span<const telemetry::Gauge> gauges);

}  // namespace tern::serve
