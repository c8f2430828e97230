// What `tern inspect` finds out beyond the header: trits, scales, what running costs, warnings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "diagnose/weights/survey.h"
#include "format/gguf/gguf_file.h"

namespace tern::cli {

// On this machine, with its fastest tier and all usable cores.
struct Footprint {
  std::uint64_t weight_bytes = 0;  // packed, mapped, and the int8 copy of a head that gets one
  std::uint64_t bytes_per_token = 0;
  std::uint64_t kv_bytes_per_token = 0;  // f16
  std::uint64_t kv_bytes = 0;            // at the whole context
  std::uint32_t threads = 0;
  double bytes_per_second = 0.0;   // measured in a second
  double tokens_per_second = 0.0;  // the limit that follows
  double tokens_per_second_at_context = 0.0;
};

struct InspectFacts {
  std::optional<diagnose::Survey> survey;  // not where `quick`
  std::optional<Footprint> footprint;      // of what Tern runs, and not where `quick`
  std::vector<std::string> warnings;       // safe to print
  std::string certificate;                 // where it was asked for
};

// Errors: kOutOfMemory.
Result<InspectFacts> inspect_facts(const format::GgufFile& file, bool quick);

// Reads all trits. Errors: those of convert::certify().
Result<void> add_certificate(const format::GgufFile& file, InspectFacts& facts);

}  // namespace tern::cli
