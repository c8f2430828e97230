// The report of a load, for people and for programs.
#pragma once

#include <string>

#include "diagnose/load/run.h"
#include "diagnose/load/summary.h"

namespace tern::diagnose {

struct LoadReport {
  std::string url;
  std::string model;
  std::string unit;  // of prompts' lengths
  bool chat = false;
  PlanOptions plan;
  std::optional<double> rate;
  std::uint32_t clients = 0;
  std::uint64_t warmup = 0;
  bool counted = true;  // tokens by the server; else by pieces
  bool interrupted = false;
  Slo slo;
  LoadSummary summary;
};

LoadReport make_report(const LoadOptions& options, const LoadOutcome& outcome, std::uint64_t warmup,
                       const Slo& slo);

// A table; and one JSON object, whose keys docs/cli.md lists.
std::string to_text(const LoadReport& report);
std::string to_json(const LoadReport& report);

}  // namespace tern::diagnose
