// The cache of Hugging Face's tools, as they lay it out, so that each sees what the other brought:
//
//   models--ORG--REPO/blobs/HASH                   the bytes of a file, by their hash
//   models--ORG--REPO/snapshots/COMMIT/PATH        a link to its blob
//   models--ORG--REPO/refs/REVISION                the commit of a branch or tag
//   .locks/models--ORG--REPO/HASH.lock             held (flock) while a blob is made
//
// Source: huggingface_hub, "Understand caching". A part of ours is named apart from theirs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/file_descriptor.h"
#include "core/result.h"
#include "hub/model_ref.h"

namespace tern::hub {

struct CachedFile {
  std::string path;  // in the repository
  std::filesystem::path blob;
  std::uint64_t bytes = 0;
};

struct CachedRevision {
  std::string commit;
  std::vector<std::string> names;  // the branches and tags that lead here
  std::vector<CachedFile> files;   // in the order of their paths
};

struct CachedRepo {
  std::string repo;
  std::vector<CachedRevision> revisions;
  std::uint64_t bytes = 0;       // of blobs on the disk
  std::uint64_t part_bytes = 0;  // of downloads that are not finished
};

struct CacheListing {
  std::vector<CachedRepo> repos;
  std::vector<Error> unread;
};

struct Removed {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;  // of disk that is free again
};

class HubCache {
 public:
  // Nothing is made before it is needed.
  explicit HubCache(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path blob_path(const std::string& repo, const std::string& hash) const;
  std::filesystem::path snapshot_path(const std::string& repo, const std::string& commit) const;

  // The commit that a revision led to when it was last asked for, or that it is. No value: unknown.
  std::optional<std::string> commit_of(const ModelRef& ref) const;
  // A file of a commit that is there in whole. No value: it is not.
  std::optional<std::filesystem::path> find(const std::string& repo, const std::string& commit,
                                            const std::string& file) const;

  // The lock of a blob, held until the descriptor closes. `waiting` is called once where another
  // process holds it. Errors: kIo, also for a stop.
  Result<FileDescriptor> lock(const std::string& repo, const std::string& hash,
                              const std::function<void()>& waiting,
                              const std::stop_token& stop) const;

  // Puts a link to a blob at its place in a snapshot. Call it while the blob's lock is held, with
  // the blob there: remove() takes blobs without a link away. Errors: kIo.
  Result<void> link(const std::string& repo, const std::string& commit, const std::string& file,
                    const std::string& hash) const;
  // Remembers where a branch or tag leads. Errors: kIo.
  Result<void> remember(const ModelRef& ref, const std::string& commit) const;

  // By name; of a repository of which not all can be listed the error alone. Errors: kIo where the
  // cache itself cannot be listed.
  Result<CacheListing> list() const;

  // Takes away what the reference names: a file of a commit, a commit, or, for a reference without
  // file to the only commit, all of the repository; and blobs that nothing else needs, with
  // downloads of the repository that were begun and that nobody is at. What others are downloading
  // stays. Errors: kIo, also for a folder that cannot be listed, and then nothing was taken away;
  // kUsage where nothing is there of it.
  Result<Removed> remove(const ModelRef& ref) const;

 private:
  std::filesystem::path repo_path(const std::string& repo) const;
  std::filesystem::path lock_path(const std::string& repo, const std::string& hash) const;
  Result<CachedRepo> read_repo(const std::string& folder) const;
  Result<Removed> remove_unused(const std::string& repo) const;

  std::filesystem::path path_;
};

}  // namespace tern::hub
