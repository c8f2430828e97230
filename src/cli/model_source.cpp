#include "cli/model_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <stop_token>
#include <system_error>

#include "cli/hub_access.h"
#include "cli/interrupt.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/streams.h"

namespace tern::cli {
namespace {

namespace fs = std::filesystem;
using hub::ModelRef;

// What an earlier pull has left in the cache; no value: the server must be asked.
std::optional<std::string> cached_path(const hub::HubCache& cache, const ModelRef& ref) {
  const auto commit = cache.commit_of(ref);
  if (!commit) return std::nullopt;
  std::string file = ref.file;
  if (file.empty()) {
    std::vector<std::string> names;
    const fs::path folder = cache.snapshot_path(ref.repo, *commit);
    std::error_code error;
    for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
         it.increment(error)) {
      names.push_back(it->path().lexically_relative(folder).string());
    }
    const auto only = hub::only_gguf(names, ref);
    if (!only) return std::nullopt;
    file = *only;
  }
  const auto path = cache.find(ref.repo, *commit, file);
  return path ? std::optional(path->string()) : std::nullopt;
}

Result<std::string> bring(const ModelRef& ref) {
  std::stop_source stop;
  Interrupt interrupt(stop);  // before threads are made
  const auto brought = [&]() -> Result<std::string> {
    TERN_ASSIGN(const auto hub, open_hub(stop.get_token()));
    if (const auto path = cached_path(hub->cache(), ref)) return *path;
    TERN_ASSIGN(const hub::RemoteRevision revision, hub->look_up(ref));
    TERN_ASSIGN(const hub::RemoteEntry entry, model_entry(revision));
    write_stderr(fmt::format("tern: {}: bringing {} ({:.1f} MB)\n", printable(ref.to_string()),
                             printable(entry.path), static_cast<double>(entry.size) / 1e6));
    TERN_ASSIGN(const hub::Pulled pulled, pull_files(*hub, revision, {entry}));
    return (pulled.snapshot / entry.path).string();
  }();
  if (brought || !interrupt.happened()) return brought;
  write_stderr(fmt::format("tern: {}: interrupted; the same command goes on from here\n",
                           printable(ref.to_string())));
  die_of_sigint();
  return brought;
}

}  // namespace

Result<std::optional<std::string>> cached_model(const ModelRef& ref) {
  TERN_ASSIGN(fs::path path, hub_cache_path());
  return cached_path(hub::HubCache(std::move(path)), ref);
}

Result<std::optional<ModelRef>> model_ref(const std::string& name) {
  if (name.starts_with(hub::kHfScheme)) {
    TERN_ASSIGN(ModelRef ref, hub::parse_model_ref(name));
    return std::optional(std::move(ref));
  }
  std::error_code error;
  if (!hub::is_alias(name) || fs::exists(name, error)) return std::optional<ModelRef>();
  const auto aliases = open_aliases();
  if (!aliases) {  // most often a file is meant
    return Error{
        aliases.error().code,
        "there is no file of that name, and no names of models: " + aliases.error().to_string(),
        name};
  }
  const ModelRef* known = aliases->find(name);
  return known == nullptr ? std::optional<ModelRef>() : std::optional(*known);
}

Result<hub::RemoteEntry> model_entry(const hub::RemoteRevision& revision) {
  std::vector<std::string> names;
  TERN_ASSIGN(const auto wanted, hub::select(revision, {}));
  for (const hub::RemoteEntry& entry : wanted) names.push_back(entry.path);
  std::string file = revision.ref.file;
  if (wanted.size() != 1 || wanted.front().path != file) {
    TERN_ASSIGN(file, hub::only_gguf(names, revision.ref));
  }
  return *std::ranges::find(wanted, file, &hub::RemoteEntry::path);
}

Result<hub::Pulled> pull_files(const hub::Hub& hub, const hub::RemoteRevision& revision,
                               const std::vector<hub::RemoteEntry>& wanted) {
  const auto start = std::chrono::steady_clock::now();
  Progress progress;
  return hub.pull(revision, wanted, [&](const hub::PullProgress& at) {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    progress.show(fmt::format("{}: {}", printable(at.file),
                              rate_text(at.fetched, at.total - at.done, seconds.count())),
                  at.done, at.total);
  });
}

Result<std::string> model_path(const std::string& name) {
  if (name.empty()) return name;
  TERN_ASSIGN(const auto ref, model_ref(name));
  if (!ref) return name;
  return bring(*ref);
}

}  // namespace tern::cli
