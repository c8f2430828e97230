// tern tune: how each shape of a model's ternary matrices is packed and read fastest here.
//
// Candidates are the packings that the tier has, the numbers of streams and the distances of
// prefetching. Each is held to the definition, bit for bit, before it is timed. They are timed as
// decode meets matrices: all threads together, one matrix after the other, a barrier behind each,
// more memory than the caches hold. A round times each candidate once, so that whatever disturbs
// the machine disturbs all of them alike: first all candidates in few rounds, then the fastest of
// them beside the tier's own plan in many. What is not clearly faster than that is not kept.
//
// On tiers with tile registers, then, from how many tokens on these are taken: for some numbers of
// tokens they are timed beside the vectors, in the packing that was kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "backend/cpu/tuning.h"
#include "core/result.h"
#include "diagnose/measure/span.h"
#include "diagnose/measure/statistics.h"
#include "format/gguf/gguf_file.h"

namespace tern::diagnose {

struct TuneOptions {
  const kernels::KernelTable* tier = nullptr;
  std::uint32_t threads = 1;
  std::uint64_t set_bytes = 0;  // of matrices of one shape and packing, at least; more than caches
  double timed_seconds = 3e-3;  // that one timing takes, about
  std::uint32_t screening_rounds = 5;
  std::uint32_t final_rounds = 25;
  std::uint32_t tile_rounds = 9;
  std::uint64_t available_memory = std::numeric_limits<std::uint64_t>::max();
  std::stop_token stop = {};
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = nullptr;
  Now now = std::chrono::steady_clock::now;
};

// A candidate whose median is above this share of the tier's own time is never kept.
inline constexpr double kMostRatio = 0.97;
// Candidates that are compared with the tier's own plan in the end.
inline constexpr std::size_t kFinalists = 3;

struct TuneCandidate {
  backend::MatrixPlan plan;
  bool exact = false;              // has the bits of the definition; else it is never timed
  double seconds = 0.0;            // a matrix, the median of the screening
  std::optional<Quartiles> ratio;  // of a finalist: its time over that of the tier's own plan
};

// Tokens for which tile registers are timed beside vectors; each speaks for all up to the next.
inline constexpr std::array<std::uint32_t, 5> kTileBuckets{2, 4, 8, 16, 32};

struct TileBucket {
  std::uint32_t tokens = 0;
  bool exact = false;            // either way has the bits of the definition; else none is timed
  double vectors_seconds = 0.0;  // a matrix, the median
  double tiles_seconds = 0.0;
  std::optional<Quartiles> ratio;  // of the time on tile registers to that on vectors
};

// From how many tokens on tile registers are taken.
struct TileTuning {
  std::uint32_t own = 0;  // the tier's
  std::uint32_t kept = 0;
  std::vector<TileBucket> buckets;  // as kTileBuckets
};

struct ShapeTuning {
  backend::MatrixShape shape;
  std::uint64_t matrices = 0;             // in turn, of each packing
  std::vector<TuneCandidate> candidates;  // the tier's own plan is the first
  std::size_t kept = 0;
  std::optional<TileTuning> tiles;  // none: the tier has no tile registers
};

// The shapes of a file's ternary matrices, and the bytes of all of these in the tier's packing.
struct TernaryShapes {
  std::vector<backend::MatrixShape> shapes;  // each once, ascending
  std::vector<std::uint64_t> counts;         // matrices of each
  std::uint64_t bytes = 0;
  std::uint64_t hash = 0;  // of shapes and counts: models that are alike for a team of threads
};
TernaryShapes ternary_shapes(const format::GgufFile& file, const kernels::KernelTable& tier);

// The plans of these shapes alone: those of other models are to make no difference to a backend,
// whose layout of packed weights names all that it has.
backend::Tuning plans_of(const TernaryShapes& ternary, backend::Tuning plans);

// The tier's own plan, then all others that it can. The scalar tier has its own alone.
std::vector<backend::MatrixPlan> tuning_candidates(const kernels::KernelTable& tier);

// Whether most of the rounds, and the median by a margin, were faster than the tier's own plan.
bool clearly_faster(const Quartiles& ratio);

// The number of tokens from which on tile registers are taken: the tier's own, moved over the
// buckets next to it, one by one, as far as what it would change is clearly faster in each. Up to
// twice the largest bucket: what is beyond stays as the tier does it.
std::uint32_t kept_tile_tokens(std::uint32_t own, std::span<const TileBucket> buckets);

// No value where `stop` was requested. Errors: kProofFailed where the tier's own plan is not the
// definition, or its own way of several tokens; kOutOfMemory.
Result<std::optional<std::vector<ShapeTuning>>> tune(std::span<const backend::MatrixShape> shapes,
                                                     const TuneOptions& options);

// What to use from now on.
backend::Tuning kept_plans(std::span<const ShapeTuning> shapes);

}  // namespace tern::diagnose
