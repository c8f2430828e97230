#include "diagnose/measure/tune_team.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "core/fp_env.h"
#include "core/machine.h"
#include "core/thread_pool.h"
#include "diagnose/measure/tune_matrices.h"
#include "kernels/packing.h"
#include "kernels/registry.h"

namespace tern::diagnose {
namespace {

using kernels::kTileRows;

// All of one shape.
struct Part {
  backend::MatrixShape shape;
  std::uint64_t in_model;  // matrices
  std::uint64_t copies;
  MatrixSet set;
  Activations x;
  std::vector<float> y;
  std::uint64_t next = 0;   // copy
  std::uint64_t timed = 1;  // matrices of a walk
  double size() const {
    return static_cast<double>(shape.rows) * static_cast<double>(shape.columns);
  }
};

class TeamTuner {
 public:
  explicit TeamTuner(const TuneOptions& options) : options_(options) {}

  Result<void> prepare(const TernaryShapes& model) {
    for (const std::uint32_t threads : team_candidates(*options_.tier, options_.threads)) {
      TERN_ASSIGN(std::unique_ptr<ThreadPool> pool, ThreadPool::create(threads));
      pools_.push_back(std::move(pool));
      found_.candidates.push_back({threads, false, std::nullopt, std::nullopt});
    }
    const backend::MatrixPlan own = backend::default_plan(*options_.tier);
    const double share =
        std::min(1.0, static_cast<double>(options_.set_bytes) /
                          static_cast<double>(std::max<std::uint64_t>(1, model.bytes)));
    for (std::size_t i = 0; i < model.shapes.size(); ++i) {
      const backend::MatrixShape& shape = model.shapes[i];
      const auto copies =
          static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(model.counts[i])));
      const std::uint64_t bytes = kernels::packed_bytes(shape.rows, shape.columns, own.packing);
      TERN_TRY(require_memory("tuning of threads for " + text_of(shape), (copies + 2) * bytes,
                              options_.available_memory));
      // Rows stand where the largest team touched them first, whichever team reads them.
      TERN_ASSIGN(MatrixSet set, MatrixSet::make(shape, own.packing, copies, *pools_.front()));
      parts_.push_back({shape, model.counts[i], copies, std::move(set),
                        Activations(shape.columns, kPromptRows),
                        std::vector<float>(shape.rows * kPromptRows)});
    }
    return {};
  }

  // False where the caller asked to stop.
  Result<bool> measure() {
    std::vector<std::size_t> teams(pools_.size());
    for (std::size_t i = 0; i < teams.size(); ++i) teams[i] = i;
    TERN_TRY(prove(teams, 1));
    if (teams.size() == 1) return true;
    const auto decode = compare(teams, 1);
    if (!decode) return false;
    std::vector<std::size_t> faster{0};
    for (std::size_t i = 1; i < teams.size(); ++i) {
      TeamCandidate& candidate = found_.candidates[teams[i]];
      candidate.decode = (*decode)[i];
      if (clearly_faster(*candidate.decode)) faster.push_back(teams[i]);
    }
    if (faster.size() == 1) return true;
    TERN_TRY(prove(faster, kPromptRows));
    const auto prompts = compare(faster, kPromptRows);
    if (!prompts) return false;
    for (std::size_t i = 1; i < faster.size(); ++i) {
      found_.candidates[faster[i]].prompts = (*prompts)[i];
      if ((*prompts)[i].median <= kMostPromptRatio) keep_if_best(faster[i]);
    }
    return true;
  }

  TeamTuning take() { return std::move(found_); }

 private:
  void keep_if_best(std::size_t team) {
    const auto& best = found_.candidates[found_.kept].decode;
    if (!best || found_.candidates[team].decode->median < best->median) found_.kept = team;
  }

  // The worker's rows of one matrix.
  void multiply(const kernels::KernelTable& table, Part& part, std::uint64_t copy,
                std::size_t tokens, const ThreadPool::Worker& worker) {
    const Slice rows = slice_of(part.shape.rows, kTileRows, worker.index(), worker.count());
    if (rows.begin == rows.end) return;
    const kernels::ReadPattern read = backend::default_plan(*options_.tier).read;
    table.ternary_linear(part.set.rows_from(copy, rows.begin, read), rows.end - rows.begin,
                         part.x.rows(), tokens, part.y.data() + rows.begin, part.shape.rows);
  }

  std::vector<float> outputs(const kernels::KernelTable& table, Part& part, ThreadPool& pool,
                             std::size_t tokens) {
    std::fill(part.y.begin(), part.y.end(), -1.0f);
    pool.run([&](ThreadPool::Worker& worker) { multiply(table, part, 0, tokens, worker); });
    return part.y;
  }

  // Leaves the teams that have the bits of the definition.
  Result<void> prove(std::vector<std::size_t>& teams, std::size_t tokens) {
    for (const std::size_t team : teams) found_.candidates[team].exact = true;
    for (Part& part : parts_) {
      const auto expected = outputs(kernels::scalar_table(), part, *pools_.front(), tokens);
      for (const std::size_t team : teams) {
        const auto values = outputs(*options_.tier, part, *pools_[team], tokens);
        found_.candidates[team].exact &=
            std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)) == 0;
      }
    }
    std::erase_if(teams, [&](std::size_t team) { return !found_.candidates[team].exact; });
    if (!teams.empty() && teams.front() == 0) return {};
    return Error{ErrorCode::kProofFailed,
                 "its products are not those of the definition: do not use this tier on this "
                 "machine",
                 "tier " + std::string(options_.tier->name) + ", " +
                     std::to_string(options_.threads) + " threads"};
  }

  // A walk is as long as the timings of all shapes, and has of each as much as the model in
  // proportion, by one of each as the largest team walks it.
  void choose_counts(std::size_t tokens) {
    constexpr double kMostMatrices = 1e6;
    double each = 0.0;
    double all = 0.0;
    for (Part& part : parts_) {
      part.timed = 1;
      each += part.size();
      all += part.size() * static_cast<double>(part.in_model);
    }
    double once = 0.0;
    for (int walk = 0; walk < 2; ++walk) once = seconds(*pools_.front(), tokens);
    const double model = std::max(once, 1e-12) * all / each;
    const double share = options_.timed_seconds * static_cast<double>(parts_.size()) / model;
    for (Part& part : parts_) {
      const double count = std::round(share * static_cast<double>(part.in_model));
      part.timed = static_cast<std::uint64_t>(std::clamp(count, 1.0, kMostMatrices));
    }
  }

  double seconds(ThreadPool& pool, std::size_t tokens) {
    // The team before this one still waits for work on cores that this one may want.
    for (const auto& each : pools_) {
      if (each.get() != &pool) std::this_thread::sleep_for(each->spin_limit());
    }
    Span span(options_.now);
    pool.run([&](ThreadPool::Worker& worker) {
      worker.barrier();
      span.begin();
      for (Part& part : parts_) {
        for (std::uint64_t i = 0; i < part.timed; ++i) {
          multiply(*options_.tier, part, (part.next + i) % part.copies, tokens, worker);
          worker.barrier();
        }
      }
      span.end();
    });
    for (Part& part : parts_) part.next = (part.next + part.timed) % part.copies;
    return span.seconds();
  }

  // Of each team: its time over that of the first, round by round.
  std::optional<std::vector<Quartiles>> compare(const std::vector<std::size_t>& teams,
                                                std::size_t tokens) {
    choose_counts(tokens);
    std::vector<std::vector<double>> ratios(teams.size());
    for (std::uint32_t round = 0; round < options_.final_rounds; ++round) {
      std::vector<double> timed(teams.size());
      for (std::size_t i = 0; i < teams.size(); ++i) {
        if (options_.stop.stop_requested()) return std::nullopt;
        const std::size_t turn = (i + round) % teams.size();
        timed[turn] = seconds(*pools_[teams[turn]], tokens);
      }
      for (std::size_t i = 0; i < teams.size(); ++i) ratios[i].push_back(timed[i] / timed[0]);
      if (options_.progress) options_.progress(round + 1, options_.final_rounds);
    }
    std::vector<Quartiles> found;
    for (const std::vector<double>& team : ratios) found.push_back(quartiles(team));
    return found;
  }

  const TuneOptions& options_;
  std::vector<std::unique_ptr<ThreadPool>> pools_;  // as the candidates
  std::vector<Part> parts_;
  TeamTuning found_;
};

}  // namespace

std::vector<std::uint32_t> team_candidates(const kernels::KernelTable& tier, std::uint32_t most) {
  std::vector<std::uint32_t> teams{most};
  if (&tier == &kernels::scalar_table()) return teams;
  // One core left to the system; shares that leave out slow cores or the second thread of each.
  for (const std::uint32_t fewer : {most - 1, most * 3 / 4, most / 2, most / 4, 1u}) {
    if (fewer > 0 && fewer < teams.back()) teams.push_back(fewer);
  }
  return teams;
}

Result<std::optional<TeamTuning>> tune_team(const TernaryShapes& model,
                                            const TuneOptions& options) {
  const ScopedFpEnv fp_env;
  TeamTuner tuner(options);
  TERN_TRY(tuner.prepare(model));
  TERN_ASSIGN(const bool measured, tuner.measure());
  if (!measured) return std::optional<TeamTuning>();
  return std::optional(tuner.take());
}

}  // namespace tern::diagnose
