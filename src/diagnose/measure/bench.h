// tern bench: what a user gets of a model on this machine, beside what the machine could do at
// most, both measured in the same run.
//
// Numerators are formulas of the model alone: the multiply-accumulates of its ternary matrices and
// the bytes of its tensors. Denominators are the ceilings for the threads in use, measured before
// and after; the larger counts. Prefill and decode have one of their own: what cores and memory
// give in turns with them. A share above 1 is an error: then the ceiling is none. Of
// multiply-accumulates it may be above 1 where the tier has look-up tables instead.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/tuning.h"
#include "core/result.h"
#include "diagnose/measure/read_ceiling.h"
#include "diagnose/measure/repeat.h"
#include "format/gguf/gguf_file.h"
#include "format/kv_type.h"
#include "kernels/kernel_table.h"
#include "model/model.h"

namespace tern::diagnose {

struct BenchOptions {
  std::function<Result<format::GgufFile>()> open;  // called again for each load
  std::string path;  // of the file; empty where it is none: no cold load
  const kernels::KernelTable* tier = nullptr;
  std::span<const kernels::KernelTable* const> tiers;  // of which the ceilings are measured
  std::uint32_t threads = 1;
  model::HeadMode head = model::HeadMode::kAuto;
  format::KvType kv_type = format::KvType::kF16;
  backend::Tuning tuning;
  std::vector<std::uint32_t> prefills = {512};  // tokens of each prompt
  std::uint32_t decode = 128;                   // tokens; 0: not measured
  std::uint32_t depth = 16;  // tokens of a sequence before the first decoded one, at least 1
  // Of how many sequences at once decode is measured, besides that of one.
  std::vector<std::uint32_t> batches = {};
  Repetitions repetitions;
  std::uint64_t read_buffer = kLongReadBuffer;
  std::chrono::milliseconds read_budget = kLongReadBudget;
  std::stop_token stop = {};
  std::function<void(std::string_view step, std::uint64_t done, std::uint64_t total)> progress =
      [](std::string_view, std::uint64_t, std::uint64_t) {};
};

struct TierCeiling {
  std::string_view tier;
  double before = 0.0;  // int8 multiply-accumulates a second
  double after = 0.0;
  double best() const { return before > after ? before : after; }
};

struct Ceilings {
  ReadCeiling read_before;
  ReadCeiling read_after;
  std::vector<TierCeiling> macs;
  const ReadCeiling& read() const {
    return read_before.bytes_per_second > read_after.bytes_per_second ? read_before : read_after;
  }
};

// Tokens a second.
struct Rate {
  Repeated tokens_per_second;
  double share = 0.0;  // of the ceiling, 0 to 1
};

// A repetition, and what the machine gave right before and behind it.
struct Turn {
  double tokens_per_second = 0.0;
  double ceiling = 0.0;  // of prefill in multiply-accumulates a second, of decode in bytes
};

struct PrefillRate {
  std::uint32_t tokens = 0;      // of the prompt
  Rate rate = {};                // share of the tier's multiply-accumulates
  std::vector<Turn> turns = {};  // those repetitions that count
};

// Decode of several sequences in common steps.
struct BatchRate {
  std::uint32_t sequences = 0;
  Rate rate;  // of all sequences together; share of what reading and multiplying would allow
  double seconds_a_token() const { return sequences / rate.tokens_per_second.value.median; }
};

struct LoadTimes {  // seconds: mapping, repacking and the self-proof
  Repeated warm;
  std::optional<Repeated> cold;
  double cold_resident_share = 0.0;  // of the file before the cold loads: the largest found
};

struct BenchReport {
  std::string model;
  std::string architecture;
  std::string source;
  std::string tier;
  std::uint32_t threads = 0;
  std::string tuning;  // where its plans come from, as the caller says: "loaded", "off"
  std::uint32_t repetitions = 0;
  std::uint32_t prefill_chunk = 0;  // most tokens that the engine computes at once
  std::uint32_t decode_tokens = 0;
  std::uint32_t depth = 0;
  std::uint64_t macs_per_token = 0;  // of the ternary matrices
  // Of the weights that a token reads, as the backend packs them, with the head's copy in its place
  // where it has one.
  std::uint64_t bytes_per_token = 0;
  model::HeadReport head;
  // Rows of the head computed exactly a decoded token, the mean; their bytes are not in
  // bytes_per_token.
  double exact_rows_per_token = 0.0;
  format::KvType kv_type = format::KvType::kF16;
  std::uint64_t kv_bytes_per_token =
      0;                       // keys and values read beside them, the mean while decoding
  std::uint64_t kv_bytes = 0;  // keys and values of the most tokens held at once
  // Of decode, where those bytes count as well; none where that is more than memory gives.
  std::optional<double> share_with_kv;
  std::vector<PrefillRate> prefills;
  std::optional<Rate> decode;      // share of the tokens whose bytes the cores could read meanwhile
  std::vector<Turn> decode_turns;  // those repetitions that count
  std::vector<BatchRate> batches;
  LoadTimes load;
  std::uint64_t rss_bytes = 0;         // peak with one model loaded, after prefill and decode
  bool rss_excludes_probe = false;     // false: the system could not reset the peak
  std::optional<double> stolen_share;  // of the machine's time during the run, where it is known
  Ceilings ceilings;
};

// rate / ceiling. Errors: kNumeric, naming `what`, where that is above 1.
Result<double> share_of(std::string_view what, double rate, double ceiling);

// The median over the turns of what share of its ceiling each computed with, so much a token.
double share_in_turns(std::span<const Turn> turns, double a_token);
Quartiles ceiling_of(std::span<const Turn> turns);

// No value where `stop` was requested. Errors: those of loading and computing; kUsage for lengths
// beyond the model's context; kNumeric for a disturbed machine and for a share above 1.
Result<std::optional<BenchReport>> bench(const BenchOptions& options);

}  // namespace tern::diagnose
