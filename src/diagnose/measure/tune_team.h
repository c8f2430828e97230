// tern tune: with how many threads a model decodes fastest here.
//
// A round walks over all shapes of the model's ternary matrices, each as often as the model has it
// in proportion, once with each team: as tune.h says of shapes, but a model at a time, since a team
// is chosen for all of it. One thread a core is what is kept unless another number is clearly
// faster at decode and does not make prompts slower.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/result.h"
#include "diagnose/measure/tune.h"

namespace tern::diagnose {

// Rows of a step of prompts, and the most that it may take longer.
inline constexpr std::size_t kPromptRows = 16;
inline constexpr double kMostPromptRatio = 1.03;

struct TeamCandidate {
  std::uint32_t threads = 1;
  bool exact = false;                // has the bits of the definition; else it is never timed
  std::optional<Quartiles> decode;   // its time over that of the largest team; null for that one
  std::optional<Quartiles> prompts;  // the same of what is clearly faster at decode
};

struct TeamTuning {
  std::vector<TeamCandidate> candidates;  // the largest is the first
  std::size_t kept = 0;
  std::uint32_t threads() const { return candidates[kept].threads; }
};

// `most` threads, then fewer. The scalar tier, written to be read, has no choice.
std::vector<std::uint32_t> team_candidates(const kernels::KernelTable& tier, std::uint32_t most);

// Of at most options.threads. No value where `stop` was requested. Errors: as tune().
Result<std::optional<TeamTuning>> tune_team(const TernaryShapes& model, const TuneOptions& options);

}  // namespace tern::diagnose
