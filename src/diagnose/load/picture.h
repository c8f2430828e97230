// A picture of a load: how many requests waited how long, and how the server fared over time.
#pragma once

#include <cstdint>
#include <string>

#include "diagnose/load/outcome.h"
#include "diagnose/load/report.h"

namespace tern::diagnose {

// SVG.
std::string draw_load(const LoadOutcome& outcome, const LoadReport& report);

}  // namespace tern::diagnose
