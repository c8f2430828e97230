#include "cli/packed_weights.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "cli/environment.h"
#include "cli/printable.h"
#include "cli/streams.h"
#include "core/sha256.h"
#include "format/gguf/fingerprint.h"
#include "format/ternary_matrix.h"

namespace tern::cli {
namespace {

// Ternary weights of fewer bytes are packed in about a tenth of a second on two cores.
constexpr std::uint64_t kWorthwhileBytes = std::uint64_t{256} << 20;
constexpr std::size_t kKeyDigits = 32;
constexpr std::uint64_t kDefaultBudget = std::uint64_t{32} << 30;
constexpr std::uint64_t kMostBudgetMib = std::uint64_t{1} << 30;  // 1 PiB

std::uint64_t ternary_bytes(const format::GgufFile& file) {
  std::uint64_t bytes = 0;
  for (const format::Tensor& tensor : file.tensors()) {
    if (format::is_ternary(tensor.type)) bytes += tensor.data.size();
  }
  return bytes;
}

std::string key_of(const std::string& fingerprint, std::string_view layout) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(fingerprint)));
  hash.update(std::as_bytes(std::span(layout)));
  return hash.finish().substr(0, kKeyDigits);
}

}  // namespace

Result<std::filesystem::path> cache_path() {
  if (const std::string own = variable("TERN_CACHE_DIR"); !own.empty()) {
    return std::filesystem::path(own);
  }
  const std::filesystem::path shared = variable("XDG_CACHE_HOME");
  if (shared.is_absolute()) return shared / "tern";
  if (const std::string home = variable("HOME"); !home.empty()) {
    return std::filesystem::path(home) / ".cache" / "tern";
  }
  return Error{ErrorCode::kUsage, "there is no place for it; set TERN_CACHE_DIR or HOME", ""};
}

Result<std::uint64_t> cache_budget() {
  const std::string text = variable("TERN_CACHE_BUDGET");
  if (text.empty()) return kDefaultBudget;
  std::uint64_t mib = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, mib);
  if (error == std::errc() && end == last && mib >= 1 && mib <= kMostBudgetMib) return mib << 20;
  return Error{ErrorCode::kUsage,
               "expected MiB, 1 to " + std::to_string(kMostBudgetMib) + ", found \"" + text + "\"",
               "TERN_CACHE_BUDGET"};
}

Result<CacheDir> open_cache_dir() {
  TERN_ASSIGN(const std::filesystem::path path, cache_path());
  TERN_ASSIGN(const std::uint64_t budget, cache_budget());
  return CacheDir::open(path, budget);
}

Result<std::optional<CacheDir>> open_existing_cache_dir() {
  TERN_ASSIGN(const std::filesystem::path path, cache_path());
  TERN_ASSIGN(const std::uint64_t budget, cache_budget());
  return CacheDir::open_existing(path, budget);
}

std::string cache_subject(const std::string& model_path) {
  std::error_code error;
  const auto path = std::filesystem::weakly_canonical(model_path, error);
  std::string subject = error ? model_path : path.string();
  subject.erase(0, subject.size() - std::min(subject.size(), kMostLabelBytes));
  return subject;
}

void drop_entries_of_gone(const std::filesystem::path& folder) {
  auto cache = open_existing_cache_dir();
  if (!cache || !*cache) return;
  const auto entries = (*cache)->list();
  if (!entries) return;
  const std::string begin = cache_subject(folder.string()) + "/";
  for (const CacheListing& entry : *entries) {
    if (!entry.subject_gone || !entry.label->subject.starts_with(begin)) continue;
    static_cast<void>((*cache)->remove(entry));
  }
}

PackedWeights::PackedWeights(const ComputeOptions& options, const format::GgufFile& file,
                             backend::CpuBackend& backend)
    : backend_(backend) {
  const CacheUse use = options.cache;
  if (use == CacheUse::kOff) {
    outcome_ = "off";
  } else if (!file.identity()) {
    outcome_ = "embedded model";
  } else if (use == CacheUse::kAuto && ternary_bytes(file) < kWorthwhileBytes) {
    outcome_ = "small model";
  } else if (auto directory = open_cache_dir(); !directory) {
    fail(directory.error());
  } else {
    const std::string layout = backend.layout();
    cache_ = std::make_unique<backend::PackedCache>(
        std::move(*directory), key_of(*format::fingerprint(file), layout),
        CacheLabel{cache_subject(file.source()), layout});
    if (options.compare_cache) cache_->compare_all();
    backend_.use_cache(cache_.get());
  }
}

PackedWeights::~PackedWeights() { backend_.use_cache(nullptr); }

void PackedWeights::discard() {
  if (cache_) cache_->discard();
}

void PackedWeights::finish(bool proved, Progress& progress) {
  backend_.use_cache(nullptr);
  if (!cache_) return;
  const std::string trouble = cache_->trouble();
  if (!trouble.empty()) {
    progress.clear();
    write_stderr("tern: cache: " + printable(trouble) + "; packed again\n");
  }
  if (cache_->complete()) {
    outcome_ = "hit";
  } else if (!proved) {
    outcome_ = "not proved";
  } else if (const auto stored = cache_->store([&](std::uint64_t done, std::uint64_t total) {
               progress.show("cache", done, total);
             });
             !stored) {
    progress.clear();
    fail(stored.error());
  } else {
    outcome_ = "stored";
  }
  cache_.reset();
}

void PackedWeights::fail(const Error& error) {
  outcome_ = error.to_string();
  write_stderr("tern: cache: " + printable(outcome_) + "; going on without it\n");
}

}  // namespace tern::cli
