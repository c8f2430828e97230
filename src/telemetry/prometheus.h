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
  bool standard = false;  // a name that programs of all kinds share, without "tern_"
};

// What a counter or histogram is.
struct Help {
  std::string_view name;  // "engine.generated_tokens"
  std::string_view text;
};

// "engine.generated_tokens" becomes tern_engine_generated_tokens_total. Gauges of one name that
// differ in their labels stand together. What `help` does not have is written without it.
std::string prometheus_text(const Telemetry& telemetry, std::span<const Gauge> gauges,
                            std::span<const Help> help = {});

}  // namespace tern::telemetry
