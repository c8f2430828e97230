// Models of a Hugging Face endpoint: looked up, brought into the cache, read by ranges.
//
// Any number of threads may use a Hub; pull() reports from one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "hub/download.h"
#include "hub/hub_cache.h"
#include "hub/remote_file.h"
#include "hub/server.h"

namespace tern::hub {

struct HubOptions {
  std::filesystem::path cache;
  ServerOptions server;
  bool offline = false;  // every request is an error
  unsigned connections = 4;
  std::uint64_t chunk_bytes = std::uint64_t{8} << 20;
};

// A revision as the server has it now.
struct RemoteRevision {
  ModelRef ref;
  std::string commit;
  std::vector<RemoteEntry> files;
};

struct PullProgress {
  std::string file;           // the one that is brought
  std::uint64_t fetched = 0;  // bytes that this call brought
  std::uint64_t done = 0;     // those and what an earlier one had brought
  std::uint64_t total = 0;    // of all files that were missing
};

struct Pulled {
  std::string commit;
  std::filesystem::path snapshot;  // the folder of the commit
  std::vector<std::string> files;  // below it
  std::uint64_t bytes = 0;         // of these
  std::uint64_t fetched_bytes = 0;
  std::uint64_t resumed_bytes = 0;
};

class Hub {
 public:
  // Errors: those of Server::create.
  static Result<std::unique_ptr<Hub>> create(HubOptions options);

  const HubCache& cache() const { return cache_; }
  const std::stop_token& stop() const { return options_.server.stop; }

  // Errors: those of the server; kUsage where requests are forbidden.
  Result<RemoteRevision> look_up(const ModelRef& ref) const;

  // A file of it, to be read by ranges. The Hub must outlive it.
  std::unique_ptr<RemoteFile> open(const RemoteRevision& revision, const RemoteEntry& entry) const;

  // Brings the files that `wanted` names into the cache; those that are there are not brought
  // again. Errors: those of download(), kIo.
  Result<Pulled> pull(const RemoteRevision& revision, const std::vector<RemoteEntry>& wanted,
                      const std::function<void(const PullProgress&)>& progress) const;

 private:
  Hub(HubOptions options, std::unique_ptr<Server> server)
      : options_(std::move(options)), server_(std::move(server)), cache_(options_.cache) {}

  struct Pull;
  Result<void> bring(const RemoteEntry& entry, Pull& pull) const;
  Result<void> fetch(const RemoteEntry& entry, const std::filesystem::path& blob, bool counted,
                     Pull& pull) const;
  Result<void> require_space(const std::vector<RemoteEntry>& wanted, Pull& pull) const;

  HubOptions options_;
  std::unique_ptr<Server> server_;
  HubCache cache_;
};

// The files of a revision that its reference names, a file or a folder, and of these the ones that
// match a pattern (*, ? and [], as a shell has them; none: all). Errors: kUsage, naming some that
// are there.
Result<std::vector<RemoteEntry>> select(const RemoteRevision& revision,
                                        const std::vector<std::string>& patterns);

// The one GGUF file of these. Errors: kUsage where there is none, or several, which are named.
Result<std::string> only_gguf(const std::vector<std::string>& paths, const ModelRef& ref);

}  // namespace tern::hub
