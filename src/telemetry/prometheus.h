// Counters and histograms in Prometheus' text format, version 0.0.4.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/telemetry.h"

namespace tern::telemetry {

// A value that goes up and down, as it is now.
struct Gauge {
  std::string name;  // "engine.waiting"
  std::string help;
  double value = 0.0;
  std::vector<std::pair<std::string, std::string>> labels = {};
};

// "engine.generated_tokens" becomes tern_engine_generated_tokens_total.
std::string prometheus_text(const Telemetry& telemetry, std::span<const Gauge> gauges);

}  // namespace tern::telemetry
