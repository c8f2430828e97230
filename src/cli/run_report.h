// What `tern run` says at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/limit.h"
#include "cli/runtime.h"
#include "engine/generate.h"
#include "engine/sequence.h"

namespace tern::cli {

struct RunReport {
  const Runtime* runtime;
  const engine::Generation* generation;
  std::uint32_t context = 0;
  format::KvType kv = format::KvType::kF16;
  std::uint64_t seed = 0;
  std::uint64_t steps = 0;                  // tokens that decode computed
  std::optional<double> tokens_per_second;  // without a value: nothing was decoded
  std::optional<Limit> limit;
  // Of the limit, 1 at most. A rate above the measured limit refutes the measurement: no value.
  std::optional<double> share;
};

// Measures the limit. Runtime and generation are borrowed.
RunReport make_report(const Runtime& runtime, const engine::Sequence& sequence, std::uint64_t seed,
                      const engine::Generation& generation);

// "41.0 tok/s, 91% of this machine's limit, avx2, proved, ..."
std::string to_line(const RunReport& report);

// The object that docs/cli.md describes.
std::string to_json(const RunReport& report, const telemetry::Telemetry& telemetry);

}  // namespace tern::cli
