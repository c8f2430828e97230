#include "cli/tuning.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <utility>

#include "cli/build_info.h"
#include "cli/packed_weights.h"
#include "cli/printable.h"
#include "cli/streams.h"
#include "core/cache_dir.h"
#include "core/cpu_caches.h"
#include "core/cpu_features.h"
#include "core/machine.h"
#include "core/sha256.h"

namespace tern::cli {
namespace {

constexpr std::size_t kKeyDigits = 32;
constexpr std::uint64_t kMostTuningBytes = 1u << 20;
// Of matrices in turn: times what the last caches hold together, since a cache that decode passes
// by keeps its part of them; but within bounds, since a virtual machine may not know its caches.
constexpr std::uint64_t kCacheFactor = 16;
constexpr std::uint64_t kLeastSetBytes = std::uint64_t{256} << 20;
constexpr std::uint64_t kMostSetBytes = std::uint64_t{512} << 20;

// The entry of a target, and what it says of itself. Whatever the key has, the label has, too: who
// keeps an entry removes the others of its label.
struct Place {
  std::string key;
  CacheLabel label;
  std::string made_by;  // with the program's version and commit, which another key would hide
};

Place place_of(const kernels::KernelTable& tier, std::uint32_t threads) {
  const std::string cpu = cpu_model() + " (" + cpu_identity() + ")";
  const std::string use = std::string(tier.name) + ", " + std::to_string(threads) + " threads, " +
                          std::to_string(usable_cores()) + " cores, " +
                          describe_cpu_caches(cpu_caches());
  const std::string machine = cpu + ", " + use;
  Sha256 hash;
  hash.update(std::as_bytes(std::span(machine)));
  return {"tuning-" + hash.finish().substr(0, kKeyDigits),
          {cpu, "tuning, " + use},
          "tern " + std::string(kVersion) + " (" + kGitCommit + ") on " + machine};
}

// What is kept at the place; nothing where nothing is, or where there is no directory that could
// hold it: a look makes none. Errors: kMalformed for what is damaged or of another build; others
// where the directory cannot be used.
Result<std::optional<backend::KeptTuning>> kept(const Place& place,
                                                const kernels::KernelTable& tier) {
  if (!cache_path()) return std::optional<backend::KeptTuning>();
  TERN_ASSIGN(const auto cache, open_existing_cache_dir());
  if (!cache) return std::optional<backend::KeptTuning>();
  TERN_ASSIGN(const std::optional<CacheReader> entry, cache->find(place.key));
  if (!entry) return std::optional<backend::KeptTuning>();
  std::vector<std::byte> bytes(std::min(entry->size(), kMostTuningBytes));
  TERN_TRY(entry->read(0, bytes));
  auto found = backend::read_tuning(bytes, place.made_by, tier);
  if (!found) {
    found.error().context = (cache->path() / place.key).string();
    return std::move(found.error());
  }
  return std::optional(std::move(*found));
}

// Beside what is kept there of other shapes and models. The path of the directory.
Result<std::string> keep(const Place& place, const kernels::KernelTable& tier,
                         const backend::KeptTuning& found) {
  const auto others_there = [&] {
    const auto there = kept(place, tier);
    return there && *there ? **there : backend::KeptTuning();
  };
  TERN_ASSIGN(CacheDir cache, open_cache_dir());
  for (;;) {
    const backend::KeptTuning others = others_there();
    backend::KeptTuning all = found;
    all.plans.insert(others.plans.begin(), others.plans.end());
    all.teams.insert(others.teams.begin(), others.teams.end());
    const std::vector<std::byte> bytes = backend::tuning_bytes(all, place.made_by);
    TERN_ASSIGN(CacheWriter writer, cache.begin(place.key, place.label, bytes.size()));
    // From here on there is no other writer. One that came between would be forgotten.
    if (!(others_there() == others)) continue;
    TERN_TRY(writer.write(bytes));
    TERN_TRY(writer.commit());
    return cache.path().string();
  }
}

// Plans belong to their number of threads. The number itself is kept where one who does not know it
// looks: with that of the cores.
Result<std::string> keep(const diagnose::TuneReport& report, std::uint64_t model,
                         const kernels::KernelTable& tier) {
  backend::KeptTuning found{diagnose::kept_plans(report.shapes), {}};
  backend::KeptTuning of_cores;
  if (report.team) of_cores.teams[model] = report.threads;
  const std::uint32_t cores = usable_cores();
  if (report.threads == cores) {
    found.teams = std::move(of_cores.teams);
  } else if (report.team) {
    TERN_TRY(keep(place_of(tier, cores), tier, of_cores));
  }
  return keep(place_of(tier, report.threads), tier, found);
}

void notice(const std::string& message) {
  write_stderr("tern: tuning: " + printable(message) + "\n");
}

// More than the caches hold, but no more than the model: what fits into a cache is read from there.
std::uint64_t set_bytes(std::uint64_t model_bytes) {
  const std::vector<CacheLevel> caches = cpu_caches();
  const std::uint64_t last = caches.empty() ? 0 : caches.back().bytes;
  return std::min(std::clamp(kCacheFactor * last, kLeastSetBytes, kMostSetBytes), model_bytes);
}

std::string count_text(std::uint32_t threads) {
  return std::to_string(threads) + (threads == 1 ? " thread" : " threads");
}

// What is kept for the model. Whether a number of threads is, too, or is not wanted, in `team`.
MachineTuning load(const TuneTarget& target, std::uint64_t model, bool& team) {
  const std::uint32_t cores = usable_cores();
  const bool asked = target.threads != 0;
  MachineTuning tuning{asked ? target.threads : cores, asked ? "asked" : "cores", {}, "none"};
  const auto of_cores = kept(place_of(*target.tier, cores), *target.tier);
  team = asked;
  if (of_cores && *of_cores && (*of_cores)->teams.contains(model)) {
    const std::uint32_t found = (*of_cores)->teams.at(model);
    if (!asked) {
      tuning.threads = found;
      tuning.threads_from = "tuned";
      team = true;
    } else if (found != target.threads) {
      notice(count_text(target.threads) + " as asked; `tern tune` found " + count_text(found) +
             " faster");
    }
  }
  const auto found = tuning.threads == cores
                         ? of_cores
                         : kept(place_of(*target.tier, tuning.threads), *target.tier);
  if (!found) {
    tuning.outcome = found.error().to_string();
    const bool kept_anew = found.error().code == ErrorCode::kMalformed;
    notice(tuning.outcome + (kept_anew ? "; ignored, `tern tune` makes it again" : "; ignored"));
  } else if (*found) {
    tuning.plans = (*found)->plans;
    tuning.outcome = "loaded";
  }
  return tuning;
}

}  // namespace

Result<std::optional<diagnose::TuneReport>> measure_tuning(const TuneTarget& target,
                                                           const format::GgufFile& file,
                                                           std::stop_token stop,
                                                           Progress& progress) {
  using Report = std::optional<diagnose::TuneReport>;
  const auto start = std::chrono::steady_clock::now();
  const diagnose::TernaryShapes ternary = diagnose::ternary_shapes(file, *target.tier);
  if (ternary.shapes.empty()) {
    return Error{ErrorCode::kUnsupported,
                 "expected ternary matrices, found none: there is nothing to tune", file.source()};
  }
  diagnose::TuneReport report;
  report.tier = target.tier->name;
  report.threads = target.threads;
  diagnose::TuneOptions options;
  options.tier = target.tier;
  options.set_bytes = set_bytes(ternary.bytes);
  options.available_memory = available_memory();
  options.stop = std::move(stop);
  if (target.threads == 0) {
    options.threads = usable_cores();
    options.progress = [&](std::uint64_t done, std::uint64_t total) {
      progress.show("tune threads", done, total);
    };
    TERN_ASSIGN(report.team, diagnose::tune_team(ternary, options));
    progress.clear();
    if (!report.team) return Report();
    report.threads = report.team->threads();
  }
  options.threads = report.threads;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.show("tune", done, total);
  };
  TERN_ASSIGN(auto shapes, diagnose::tune(ternary.shapes, options));
  progress.clear();
  if (!shapes) return Report();
  report.shapes = std::move(*shapes);
  report.made_by = place_of(*target.tier, report.threads).made_by;
  if (auto path = keep(report, ternary.hash, *target.tier)) {
    report.kept_in = *path;
  } else {
    notice(path.error().to_string() + "; what was measured is not kept");
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  report.seconds = seconds.count();
  return Report(std::move(report));
}

Result<MachineTuning> tuning_for(TuneUse use, const TuneTarget& target,
                                 const format::GgufFile& file, std::stop_token stop,
                                 Progress& progress) {
  const bool asked = target.threads != 0;
  const diagnose::TernaryShapes ternary = diagnose::ternary_shapes(file, *target.tier);
  MachineTuning tuning{
      asked ? target.threads : usable_cores(), asked ? "asked" : "cores", {}, "off"};
  if (use == TuneUse::kOff) return tuning;
  bool complete = false;
  if (use != TuneUse::kFull) {
    tuning = load(target, ternary.hash, complete);
    tuning.plans = diagnose::plans_of(ternary, std::move(tuning.plans));
    for (const auto& shape : ternary.shapes) complete &= tuning.plans.contains(shape);
  }
  if (use == TuneUse::kLoad || complete) return tuning;
  TERN_ASSIGN(auto report, measure_tuning(target, file, std::move(stop), progress));
  if (!report) return tuning;
  return MachineTuning{report->threads, asked ? "asked" : "tuned",
                       diagnose::kept_plans(report->shapes), "measured"};
}

}  // namespace tern::cli
