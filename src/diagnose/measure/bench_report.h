// The figures of `tern bench` as a table and as JSON. docs/cli.md lists the keys, which stay.
#pragma once

#include <string>

#include "diagnose/measure/bench.h"

namespace tern::diagnose {

// Names of models and files stand in it as they are: the caller makes them printable.
std::string to_text(const BenchReport& report);
std::string to_json(const BenchReport& report);

}  // namespace tern::diagnose
