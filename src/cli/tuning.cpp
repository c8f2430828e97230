#include "cli/tuning.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
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

// The entry of a target, and what it says of itself.
struct Place {
  std::string key;
  CacheLabel label;
  std::string made_by;  // with the program's version, which another key would hide
};

Place place_of(const TuneTarget& target) {
  const std::string tier_and_threads =
      std::string(target.tier->name) + ", " + std::to_string(target.threads) + " threads";
  const std::string machine = cpu_model() + ", " + describe_cpu_caches(cpu_caches()) + ", " +
                              std::to_string(usable_cores()) + " cores, " + tier_and_threads;
  Sha256 hash;
  hash.update(std::as_bytes(std::span(machine)));
  return {"tuning-" + hash.finish().substr(0, kKeyDigits),
          {cpu_model(), "tuning, " + tier_and_threads},
          "tern " + std::string(kVersion) + " on " + machine};
}

// What is kept at the place; nothing where nothing is, or where there is no directory that could
// hold it: a look makes none.
Result<std::optional<backend::Tuning>> kept(const Place& place, const TuneTarget& target) {
  const auto path = cache_path();
  std::error_code error;
  if (!path || !std::filesystem::is_directory(*path, error)) {
    return std::optional<backend::Tuning>();
  }
  const auto cache = open_cache_dir();
  if (!cache) return std::optional<backend::Tuning>();
  TERN_ASSIGN(const std::optional<CacheReader> entry, cache->find(place.key));
  if (!entry) return std::optional<backend::Tuning>();
  std::vector<std::byte> bytes(std::min(entry->size(), kMostTuningBytes));
  TERN_TRY(entry->read(0, bytes));
  TERN_ASSIGN(backend::Tuning plans, backend::read_tuning(bytes, place.made_by, *target.tier));
  return std::optional(std::move(plans));
}

// The path of the entry.
Result<std::string> keep(const Place& place, const backend::Tuning& plans) {
  const std::vector<std::byte> bytes = backend::tuning_bytes(plans, place.made_by);
  TERN_ASSIGN(CacheDir cache, open_cache_dir());
  TERN_ASSIGN(CacheWriter writer, cache.begin(place.key, place.label, bytes.size()));
  TERN_TRY(writer.write(bytes));
  TERN_TRY(writer.commit());
  return cache.path().string();
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

}  // namespace

Result<std::optional<diagnose::TuneReport>> measure_tuning(const TuneTarget& target,
                                                           const format::GgufFile& file,
                                                           std::stop_token stop,
                                                           Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const diagnose::TernaryShapes ternary = diagnose::ternary_shapes(file, *target.tier);
  diagnose::TuneOptions options;
  options.tier = target.tier;
  options.threads = target.threads;
  options.set_bytes = set_bytes(ternary.bytes);
  options.available_memory = available_memory();
  options.stop = std::move(stop);
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.show("tune", done, total);
  };
  TERN_ASSIGN(auto shapes, diagnose::tune(ternary.shapes, options));
  progress.clear();
  if (!shapes) return std::optional<diagnose::TuneReport>();
  const Place place = place_of(target);
  diagnose::TuneReport report{target.tier->name, target.threads, place.made_by, "", 0.0,
                              std::move(*shapes)};
  backend::Tuning plans = diagnose::kept_plans(report.shapes);
  if (auto others = kept(place, target); others && *others) plans.merge(**others);
  if (auto path = keep(place, plans)) {
    report.kept_in = *path;
  } else {
    notice(path.error().to_string() + "; what was measured is not kept");
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  report.seconds = seconds.count();
  return std::optional(std::move(report));
}

Result<MachineTuning> tuning_for(TuneUse use, const TuneTarget& target,
                                 const format::GgufFile& file, Progress& progress) {
  if (use == TuneUse::kOff) return MachineTuning{{}, "off"};
  MachineTuning tuning{{}, "none"};
  if (use != TuneUse::kFull) {
    auto found = kept(place_of(target), target);
    if (!found) {
      tuning.outcome = found.error().to_string();
      notice(tuning.outcome + "; ignored, `tern tune` makes it again");
    } else if (*found) {
      tuning = {std::move(**found), "loaded"};
    }
  }
  const auto shapes = diagnose::ternary_shapes(file, *target.tier).shapes;
  const bool complete = std::all_of(shapes.begin(), shapes.end(), [&](const auto& shape) {
    return tuning.plans.contains(shape);
  });
  if (use == TuneUse::kLoad || complete) return tuning;
  TERN_ASSIGN(auto report, measure_tuning(target, file, {}, progress));
  if (report) tuning = {diagnose::kept_plans(report->shapes), "measured"};
  return tuning;
}

}  // namespace tern::cli
