#include "diagnose/measure/tune.h"

#include <algorithm>
#include <array>
#include <atomic>
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
constexpr std::size_t kMostTokens = kTileBuckets.back();
constexpr std::uint64_t kProofRows = 64;  // two blocks of registers
static_assert(backend::kMostTileTokens == 2 * kMostTokens);

// What a timing multiplies: matrices, and how they are read for how many tokens.
struct Work {
  MatrixPlan plan;
  std::size_t tokens;
  std::uint64_t matrices;
};

// Several tokens on tile registers or on vectors: from a number of tokens on that all have, or
// none.
MatrixPlan batch_plan(Packing packing, bool tiles) {
  return {packing, {}, tiles ? kTileBuckets.front() : backend::kMostTileTokens};
}

// Of what was timed in the same rounds.
Quartiles ratio_of(const std::vector<double>& times, const std::vector<double>& to) {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < times.size(); ++round) {
    ratios.push_back(times[round] / to[round]);
  }
  return quartiles(ratios);
}

// All about one shape.
class ShapeTuner {
 public:
  ShapeTuner(const MatrixShape& shape, const TuneOptions& options, ThreadPool& pool)
      : options_(options),
        pool_(pool),
        x_(shape.columns, options.tier->tile_tokens != 0 ? kMostTokens : 1),
        y_(shape.rows * (options.tier->tile_tokens != 0 ? kMostTokens : 1)) {
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
    const std::uint64_t count =
        matrices_to_time({found_.candidates.front().plan, 1, found_.matrices});
    std::vector<std::size_t> exact;
    for (std::size_t i = 0; i < found_.candidates.size(); ++i) {
      if (found_.candidates[i].exact) exact.push_back(i);
    }
    const auto screened = rounds(works(exact, count), options_.screening_rounds, round_done);
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
    const auto timed = rounds(works(finalists, count), options_.final_rounds, round_done);
    if (!timed) return false;
    choose(finalists, *timed);
    return true;
  }

  // Of the packing that measure() kept, where the tier has tile registers. False where the caller
  // asked to stop. Errors: kProofFailed as tune() says.
  Result<bool> measure_tiles(const std::function<void()>& round_done) {
    const std::uint32_t own = options_.tier->tile_tokens;
    if (own == 0) return true;
    TileTuning& found = found_.tiles.emplace(TileTuning{own, own, {}});
    TERN_TRY(prove_tiles(found));
    std::vector<Work> timed;  // of each exact bucket its vectors, then its tile registers
    for (const TileBucket& bucket : found.buckets) {
      for (const bool tiles : {false, true}) {
        if (!bucket.exact) continue;
        Work work{batch_plan(kept_packing(), tiles), bucket.tokens, 1};
        work.matrices = matrices_to_time(work);
        timed.push_back(work);
      }
    }
    const auto times = rounds(timed, options_.tile_rounds, round_done);
    if (!times) return false;
    auto at = times->begin();
    for (TileBucket& bucket : found.buckets) {
      if (!bucket.exact) continue;
      const std::vector<double>& vectors = *at++;
      const std::vector<double>& tiles = *at++;
      bucket.vectors_seconds = quartiles(vectors).median;
      bucket.tiles_seconds = quartiles(tiles).median;
      bucket.ratio = ratio_of(tiles, vectors);
    }
    found.kept = kept_tile_tokens(own, found.buckets);
    return true;
  }

  ShapeTuning take() { return std::move(found_); }

 private:
  Packing kept_packing() const { return found_.candidates[found_.kept].plan.packing; }

  // The rows of worker's own of one matrix, the last of them that are at most so many and a few.
  void multiply(const kernels::KernelTable& table, std::uint64_t copy, const MatrixPlan& plan,
                std::size_t tokens, std::uint64_t most_rows, const ThreadPool::Worker& worker) {
    const std::uint64_t all = found_.shape.rows;
    const Slice rows = slice_of(all, kTileRows, worker.index(), worker.count());
    if (rows.begin == rows.end) return;
    const std::uint64_t some = rows.end - std::min(rows.end - rows.begin, most_rows);
    const std::uint64_t begin = some - some % kTileRows;
    kernels::TernaryTiles tiles = sets_.at(plan.packing).rows_from(copy, begin, plan.read);
    tiles.tile_tokens = plan.tile_tokens;
    table.ternary_linear(tiles, rows.end - begin, x_.rows(), tokens, y_.data() + begin, all);
  }

  // Of several tokens some rows of each worker: the definition takes its time.
  std::vector<float> outputs(const kernels::KernelTable& table, const MatrixPlan& plan,
                             std::size_t tokens) {
    const std::uint64_t most_rows = tokens == 1 ? found_.shape.rows : kProofRows;
    std::fill(y_.begin(), y_.end(), -1.0f);
    pool_.run(
        [&](ThreadPool::Worker& worker) { multiply(table, 0, plan, tokens, most_rows, worker); });
    return y_;
  }

  // Whether the tier has the first of the expected values, those of so many tokens.
  bool is_exact(const MatrixPlan& plan, std::size_t tokens, const std::vector<float>& expected) {
    const std::vector<float> values = outputs(*options_.tier, plan, tokens);
    const std::size_t bytes = tokens * found_.shape.rows * sizeof(float);
    return std::memcmp(values.data(), expected.data(), bytes) == 0;
  }

  Error not_the_definition(const std::string& of) const {
    return Error{ErrorCode::kProofFailed,
                 "its products are not those of the definition: do not use this tier on this "
                 "machine",
                 "tier " + std::string(options_.tier->name) + ", " + text_of(found_.shape) + of};
  }

  Result<void> prove() {
    const std::vector<float> expected =
        outputs(kernels::scalar_table(), found_.candidates.front().plan, 1);
    for (TuneCandidate& candidate : found_.candidates) {
      candidate.exact = is_exact(candidate.plan, 1, expected);
    }
    if (found_.candidates.front().exact) return {};
    return not_the_definition("");
  }

  // What the definition has of most tokens begins with what it has of fewer, and in two bits it is
  // what it is in five trits, sooner.
  Result<void> prove_tiles(TileTuning& found) {
    const std::vector<float> expected =
        outputs(kernels::scalar_table(), batch_plan(Packing::kTwoBits, false), kMostTokens);
    for (const std::uint32_t tokens : kTileBuckets) {
      const bool own = tokens >= found.own;  // whether the tier itself takes tile registers
      if (!is_exact(batch_plan(kept_packing(), own), tokens, expected)) {
        return not_the_definition(", " + std::to_string(tokens) + " tokens");
      }
      const bool exact = is_exact(batch_plan(kept_packing(), !own), tokens, expected);
      found.buckets.push_back({tokens, exact, 0.0, 0.0, std::nullopt});
    }
    return {};
  }

  std::vector<Work> works(const std::vector<std::size_t>& candidates,
                          std::uint64_t matrices) const {
    std::vector<Work> works;
    works.reserve(candidates.size());
    for (const std::size_t candidate : candidates) {
      works.push_back({found_.candidates[candidate].plan, 1, matrices});
    }
    return works;
  }

  // How many matrices one timing takes, by the second of two walks over those of `walked`.
  std::uint64_t matrices_to_time(const Work& walked) {
    constexpr double kMostMatrices = 1e6;
    double matrix = 0.0;
    for (int walk = 0; walk < 2; ++walk) matrix = seconds(walked);
    const double count = std::ceil(options_.timed_seconds / std::max(matrix, 1e-12));
    return static_cast<std::uint64_t>(std::clamp(count, 1.0, kMostMatrices));
  }

  // Of one matrix. Each timing goes on where the one before it ended, so that what a cache kept of
  // its matrices helps none. A timing that takes far longer than planned ends early: where others
  // took a core meanwhile, each barrier lasts a thousand times as long.
  double seconds(const Work& work) {
    constexpr std::uint64_t kMatricesALook = 16;
    Span span(options_.now);
    const std::uint64_t first = next_;
    std::atomic<std::uint64_t> end{work.matrices};
    pool_.run([&](ThreadPool::Worker& worker) {
      worker.barrier();
      span.begin();
      const TimePoint latest = options_.now() + longest_timing();
      for (std::uint64_t i = 0; i < end; ++i) {
        multiply(*options_.tier, (first + i) % found_.matrices, work.plan, work.tokens,
                 found_.shape.rows, worker);
        const bool looks = worker.index() == 0 && (i + 1) % kMatricesALook == 0;
        if (looks && options_.now() > latest) end = i + 1;  // all see it behind the barrier
        worker.barrier();
      }
      span.end();
    });
    next_ = (first + end) % found_.matrices;
    return span.seconds() / static_cast<double>(end);
  }

  TimePoint::duration longest_timing() const {
    constexpr double kMostTimes = 20.0;
    return std::chrono::duration_cast<TimePoint::duration>(
        std::chrono::duration<double>(kMostTimes * options_.timed_seconds));
  }

  // The seconds of each of `chosen`, round by round. Each round begins with another one, so that
  // none always follows the same.
  std::optional<std::vector<std::vector<double>>> rounds(const std::vector<Work>& chosen,
                                                         std::uint32_t count,
                                                         const std::function<void()>& round_done) {
    std::vector<std::vector<double>> timed(chosen.size());
    for (std::uint32_t round = 0; round < count; ++round) {
      for (std::size_t i = 0; i < chosen.size(); ++i) {
        if (options_.stop.stop_requested()) return std::nullopt;
        const std::size_t turn = (i + round) % chosen.size();
        timed[turn].push_back(seconds(chosen[turn]));
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
      const Quartiles ratio = ratio_of(timed[i], timed[0]);
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

backend::Tuning plans_of(const TernaryShapes& ternary, backend::Tuning plans) {
  std::erase_if(plans, [&](const auto& plan) {
    return !std::binary_search(ternary.shapes.begin(), ternary.shapes.end(), plan.first);
  });
  return plans;
}

std::vector<MatrixPlan> tuning_candidates(const kernels::KernelTable& tier) {
  std::vector<MatrixPlan> plans{backend::default_plan(tier)};
  if (&tier == &kernels::scalar_table()) return plans;  // written to be read: it has no patterns
  for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
    for (std::uint32_t streams = 1; streams <= kernels::kMostStreams; streams *= 2) {
      for (const std::uint32_t prefetch_bytes : kPrefetchBytes) {
        const MatrixPlan plan{packing, {streams, prefetch_bytes, plans.front().read.second_cache}};
        if (backend::supports(tier, plan) && !(plan == plans.front())) plans.push_back(plan);
      }
    }
  }
  return plans;
}

bool clearly_faster(const Quartiles& ratio) {
  return ratio.median <= kMostRatio && ratio.upper < 1.0;
}

std::uint32_t kept_tile_tokens(std::uint32_t own, std::span<const TileBucket> buckets) {
  std::uint32_t kept = own;
  for (const TileBucket& bucket : buckets) {
    if (bucket.tokens != kept || !bucket.ratio) continue;
    const Quartiles& tiles = *bucket.ratio;
    const Quartiles vectors{1.0 / tiles.upper, 1.0 / tiles.median, 1.0 / tiles.lower, tiles.count};
    if (clearly_faster(vectors)) kept *= 2;
  }
  // After a move upwards the next bucket is one where vectors are faster: none is taken back.
  for (auto bucket = buckets.rbegin(); bucket != buckets.rend(); ++bucket) {
    const bool next = 2 * bucket->tokens == kept && bucket->ratio;
    if (next && clearly_faster(*bucket->ratio)) kept = bucket->tokens;
  }
  return kept;
}

Result<std::optional<std::vector<ShapeTuning>>> tune(std::span<const MatrixShape> shapes,
                                                     const TuneOptions& options) {
  const ScopedFpEnv fp_env;
  TERN_ASSIGN(const std::unique_ptr<ThreadPool> pool, ThreadPool::create(options.threads));
  std::vector<ShapeTuning> found;
  const std::uint32_t tile_rounds = options.tier->tile_tokens != 0 ? options.tile_rounds : 0;
  const std::uint64_t total =
      shapes.size() * (options.screening_rounds + options.final_rounds + tile_rounds);
  std::uint64_t done = 0;
  const auto round_done = [&] {
    if (options.progress) options.progress(++done, total);
  };
  for (const MatrixShape& shape : shapes) {
    ShapeTuner tuner(shape, options, *pool);
    TERN_TRY(tuner.prepare());
    bool measured = tuner.measure(round_done);
    if (measured) {
      TERN_ASSIGN(measured, tuner.measure_tiles(round_done));
    }
    if (!measured) return std::optional<std::vector<ShapeTuning>>();
    found.push_back(tuner.take());
  }
  return std::optional(std::move(found));
}

backend::Tuning kept_plans(std::span<const ShapeTuning> shapes) {
  backend::Tuning tuning;
  for (const ShapeTuning& shape : shapes) {
    MatrixPlan plan = shape.candidates[shape.kept].plan;
    if (shape.tiles) plan.tile_tokens = shape.tiles->kept;
    tuning.insert_or_assign(shape.shape, plan);
  }
  return tuning;
}

}  // namespace tern::diagnose
