// The cache of packed weights as the command line uses it: where it is, when it is worth its disk
// space, and what is said of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/packed_cache.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "core/cache_dir.h"
#include "format/gguf/gguf_file.h"

namespace tern::cli {

// $TERN_CACHE_DIR, else $XDG_CACHE_HOME/tern, else ~/.cache/tern. Errors: kUsage where none of
// these is set.
Result<std::filesystem::path> cache_path();
// Bytes that all entries may take: $TERN_CACHE_BUDGET in MiB, else 32 GiB. Errors: kUsage for what
// is no such number.
Result<std::uint64_t> cache_budget();
// Errors: those of cache_path, of cache_budget and of CacheDir::open.
Result<CacheDir> open_cache_dir();
// Makes none: no value where there is none. Errors: as open_cache_dir().
Result<std::optional<CacheDir>> open_existing_cache_dir();

// The path by which entries name a model: its end, where it is longer than a label.
std::string cache_subject(const std::string& model_path);
// Removes, where that can be, what was made of files below that folder which are gone.
void drop_entries_of_gone(const std::filesystem::path& folder);

// One load's use of the cache. Whatever fails is a line on standard error and no more.
class PackedWeights {
 public:
  // Looks for the model's entry, where the options and the size of the model want it, and gives the
  // cache to the backend, until finish().
  PackedWeights(const ComputeOptions& options, const format::GgufFile& file,
                backend::CpuBackend& backend);
  ~PackedWeights();
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  // Before loading: takes nothing of the entry, which was found stale, and removes it.
  void discard();
  // Whether a weight came from the cache.
  bool took_any() const { return cache_ && cache_->took_any(); }
  // Of its matrices, those that were compared with the file in whole.
  std::size_t compared() const { return cache_ ? cache_->compared() : 0; }

  // After loading: stores what was packed, if the model was proved.
  void finish(bool proved, Progress& progress);

  // "hit", "stored", or why neither: "off", "small model", "embedded model", "not proved", or what
  // failed.
  const std::string& outcome() const { return outcome_; }

 private:
  void fail(const Error& error);

  backend::CpuBackend& backend_;
  std::unique_ptr<backend::PackedCache> cache_;
  std::string outcome_;
};

}  // namespace tern::cli
