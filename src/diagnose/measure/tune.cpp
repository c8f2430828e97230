#include "diagnose/measure/tune.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "core/fast_hash.h"
#include "core/fp_env.h"
#include "core/machine.h"
#include "core/thread_pool.h"
#include "diagnose/measure/tune_matrices.h"
#include "format/ternary_matrix.h"
#include "kernels/packing.h"
#include "kernels/registry.h"

namespace tern::diagnose {
namespace {

using backend::MatrixPlan;
using backend::MatrixShape;
using kernels::kTileRows;
using kernels::Packing;

constexpr std::array<std::uint32_t, 4> kPrefetchBytes{0, 1024, 4096, 16384};

// All about one shape.
class ShapeTuner {
 public:
  ShapeTuner(const MatrixShape& shape, const TuneOptions& options, ThreadPool& pool)
      : options_(options), pool_(pool), x_(shape.columns, 1), y_(shape.rows) {
    found_.shape = shape;
    for (const MatrixPlan& plan : tuning_candidates(*options.tier)) {
      found_.candidates.push_back({plan, false, 0.0, std::nullopt});
    }
  }

  // Errors: kOutOfMemory; kProofFailed as tune() says.
  Result<void> prepare() {
    const MatrixShape& shape = found_.shape;
    const std::uint64_t least =
        kernels::packed_bytes(shape.rows, shape.columns,
                              options_.tier->five_trits ? Packing::kFiveTrits : Packing::kTwoBits);
    found_.matrices = std::max<std::uint64_t>(1, (options_.set_bytes + least - 1) / least);
    const std::uint64_t most = kernels::packed_bytes(shape.rows, shape.columns, Packing::kTwoBits);
    TERN_TRY(require_memory("tuning of " + text_of(shape), 2 * (found_.matrices + 1) * most,
                            options_.available_memory));
    for (const TuneCandidate& candidate : found_.candidates) {
      const Packing packing = candidate.plan.packing;
      if (sets_.contains(packing)) continue;
      TERN_ASSIGN(MatrixSet set, MatrixSet::make(shape, packing, found_.matrices, pool_));
      sets_.emplace(packing, std::move(set));
    }
    return prove();
  }

  // False where the caller asked to stop.
  bool measure(const std::function<void()>& round_done) {
    if (found_.candidates.size() == 1) return true;
    choose_count();
    std::vector<std::size_t> exact;
    for (std::size_t i = 0; i < found_.candidates.size(); ++i) {
      if (found_.candidates[i].exact) exact.push_back(i);
    }
    const auto screened = rounds(exact, options_.screening_rounds, round_done);
    if (!screened) return false;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      found_.candidates[exact[i]].seconds = quartiles((*screened)[i]).median;
    }
    std::vector<std::size_t> finalists(exact.begin() + 1, exact.end());
    std::stable_sort(finalists.begin(), finalists.end(), [&](std::size_t a, std::size_t b) {
      return found_.candidates[a].seconds < found_.candidates[b].seconds;
    });
    finalists.resize(std::min(finalists.size(), kFinalists));
    finalists.insert(finalists.begin(), 0);
    const auto timed = rounds(finalists, options_.final_rounds, round_done);
    if (!timed) return false;
    choose(finalists, *timed);
    return true;
  }

  ShapeTuning take() { return std::move(found_); }

 private:
  // The rows of worker's own of one matrix.
  void multiply(const kernels::KernelTable& table, std::uint64_t copy, const MatrixPlan& plan,
                const ThreadPool::Worker& worker) {
    const Slice rows = slice_of(y_.size(), kTileRows, worker.index(), worker.count());
    if (rows.begin == rows.end) return;
    table.ternary_linear(sets_.at(plan.packing).rows_from(copy, rows.begin, plan.read),
                         rows.end - rows.begin, x_.rows(), 1, y_.data() + rows.begin, y_.size());
  }

  std::vector<float> outputs(const kernels::KernelTable& table, const MatrixPlan& plan) {
    std::fill(y_.begin(), y_.end(), -1.0f);
    pool_.run([&](ThreadPool::Worker& worker) { multiply(table, 0, plan, worker); });
    return y_;
  }

  Result<void> prove() {
    const std::vector<float> expected =
        outputs(kernels::scalar_table(), found_.candidates.front().plan);
    for (TuneCandidate& candidate : found_.candidates) {
      const std::vector<float> values = outputs(*options_.tier, candidate.plan);
      candidate.exact =
          std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)) == 0;
    }
    if (found_.candidates.front().exact) return {};
    return Error{ErrorCode::kProofFailed,
                 "its products are not those of the definition: do not use this tier on this "
                 "machine",
                 "tier " + std::string(options_.tier->name) + ", " + text_of(found_.shape)};
  }

  // How many matrices one timing takes, by the second of two walks over all of them.
  void choose_count() {
    constexpr double kMostMatrices = 1e6;
    count_ = found_.matrices;
    double matrix = 0.0;
    for (int walk = 0; walk < 2; ++walk) matrix = seconds(found_.candidates.front().plan);
    const double count = std::ceil(options_.timed_seconds / std::max(matrix, 1e-12));
    count_ = static_cast<std::uint64_t>(std::clamp(count, 1.0, kMostMatrices));
  }

  // Of one matrix. Each timing goes on where the one before it ended, so that what a cache kept of
  // its matrices helps none.
  double seconds(const MatrixPlan& plan) {
    Span span(options_.now);
    const std::uint64_t first = next_;
    next_ = (next_ + count_) % found_.matrices;
    pool_.run([&](ThreadPool::Worker& worker) {
      worker.barrier();
      span.begin();
      for (std::uint64_t i = 0; i < count_; ++i) {
        multiply(*options_.tier, (first + i) % found_.matrices, plan, worker);
        worker.barrier();
      }
      span.end();
    });
    return span.seconds() / static_cast<double>(count_);
  }

  // The seconds of each of `chosen`, round by round. Each round begins with another one, so that
  // none always follows the same.
  std::optional<std::vector<std::vector<double>>> rounds(const std::vector<std::size_t>& chosen,
                                                         std::uint32_t count,
                                                         const std::function<void()>& round_done) {
    std::vector<std::vector<double>> timed(chosen.size());
    for (std::uint32_t round = 0; round < count; ++round) {
      for (std::size_t i = 0; i < chosen.size(); ++i) {
        if (options_.stop.stop_requested()) return std::nullopt;
        const std::size_t turn = (i + round) % chosen.size();
        timed[turn].push_back(seconds(found_.candidates[chosen[turn]].plan));
      }
      round_done();
    }
    return timed;
  }

  // `timed` has the tier's own plan first.
  void choose(const std::vector<std::size_t>& finalists,
              const std::vector<std::vector<double>>& timed) {
    double best = 1.0;
    for (std::size_t i = 1; i < finalists.size(); ++i) {
      std::vector<double> ratios;
      for (std::size_t round = 0; round < timed[i].size(); ++round) {
        ratios.push_back(timed[i][round] / timed[0][round]);
      }
      const Quartiles ratio = quartiles(ratios);
      found_.candidates[finalists[i]].ratio = ratio;
      if (!clearly_faster(ratio) || ratio.median >= best) continue;
      best = ratio.median;
      found_.kept = finalists[i];
    }
  }

  const TuneOptions& options_;
  ThreadPool& pool_;
  Activations x_;
  std::vector<float> y_;
  std::map<Packing, MatrixSet> sets_;
  std::uint64_t count_ = 1;
  std::uint64_t next_ = 0;
  ShapeTuning found_;
};

}  // namespace

TernaryShapes ternary_shapes(const format::GgufFile& file, const kernels::KernelTable& tier) {
  TernaryShapes found;
  std::map<MatrixShape, std::uint64_t> counts;
  for (const format::Tensor& tensor : file.tensors()) {
    if (!format::is_ternary(tensor.type)) continue;
    ++counts[{tensor.rows(), tensor.columns()}];
    found.bytes += kernels::packed_bytes(tensor.rows(), tensor.columns(), tier.packing);
  }
  std::vector<std::uint64_t> numbers;
  for (const auto& [shape, count] : counts) {
    found.shapes.push_back(shape);
    found.counts.push_back(count);
    numbers.insert(numbers.end(), {shape.rows, shape.columns, count});
  }
  found.hash = fast_hash(std::as_bytes(std::span(numbers)));
  return found;
}

std::vector<MatrixPlan> tuning_candidates(const kernels::KernelTable& tier) {
  std::vector<MatrixPlan> plans{backend::default_plan(tier)};
  if (&tier == &kernels::scalar_table()) return plans;  // written to be read: it has no patterns
  for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
    for (std::uint32_t streams = 1; streams <= kernels::kMostStreams; streams *= 2) {
      for (const std::uint32_t prefetch_bytes : kPrefetchBytes) {
        const MatrixPlan plan{packing, {streams, prefetch_bytes}};
        if (backend::supports(tier, plan) && !(plan == plans.front())) plans.push_back(plan);
      }
    }
  }
  return plans;
}

bool clearly_faster(const Quartiles& ratio) {
  return ratio.median <= kMostRatio && ratio.upper < 1.0;
}

Result<std::optional<std::vector<ShapeTuning>>> tune(std::span<const MatrixShape> shapes,
                                                     const TuneOptions& options) {
  const ScopedFpEnv fp_env;
  TERN_ASSIGN(const std::unique_ptr<ThreadPool> pool, ThreadPool::create(options.threads));
  std::vector<ShapeTuning> found;
  const std::uint64_t total = shapes.size() * (options.screening_rounds + options.final_rounds);
  std::uint64_t done = 0;
  const auto round_done = [&] {
    if (options.progress) options.progress(++done, total);
  };
  for (const MatrixShape& shape : shapes) {
    ShapeTuner tuner(shape, options, *pool);
    TERN_TRY(tuner.prepare());
    if (!tuner.measure(round_done)) return std::optional<std::vector<ShapeTuning>>();
    found.push_back(tuner.take());
  }
  return std::optional(std::move(found));
}

backend::Tuning kept_plans(std::span<const ShapeTuning> shapes) {
  backend::Tuning tuning;
  for (const ShapeTuning& shape : shapes) {
    tuning.insert_or_assign(shape.shape, shape.candidates[shape.kept].plan);
  }
  return tuning;
}

}  // namespace tern::diagnose
