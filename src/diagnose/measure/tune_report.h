// What `tern tune` tried, kept and why, as text and as JSON. docs/cli.md lists the keys, which
// stay.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "diagnose/measure/tune_team.h"

namespace tern::diagnose {

struct TuneReport {
  std::string tier;
  std::uint32_t threads = 0;
  std::optional<TeamTuning> team;  // none: the number was given
  std::string made_by;             // the program and the machine, as the tuning names them
  std::string kept_in;             // the file; empty: it could not be written
  double seconds = 0.0;
  std::vector<ShapeTuning> shapes;
};

// "five-trits, 2 streams, 4096 bytes ahead"
std::string to_text(const backend::MatrixPlan& plan);

// The texts of the report stand in it as they are: the caller makes them printable.
std::string to_text(const TuneReport& report);
std::string to_json(const TuneReport& report);

}  // namespace tern::diagnose
