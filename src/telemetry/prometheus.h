// Counters and histograms in Prometheus' text format, version 0.0.4.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/telemetry.h"

namespace tern::telemetry {

// A value as it is now: one that goes up and down or, as a counter, only up.
struct Gauge {
  std::string name;  // "engine.waiting"
  std::string help;
  double value = 0.0;
  std::vector<std::pair<std::string, std::string>> labels = {};
  bool counter = false;
};

// "engine.generated_tokens" becomes tern_engine_generated_tokens_total. Gauges of one name that
// differ in their labels stand together.
std::string prometheus_text(const Telemetry& telemetry, std::span<const Gauge> gauges);

}  // namespace tern::telemetry
