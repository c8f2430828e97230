#include "hub/remote_folder.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/sha256.h"
#include "hub/blob_hash.h"
#include "hub/spool.h"

namespace tern::hub {
namespace {

class RemoteSource final : public FileSource {
 public:
  RemoteSource(std::unique_ptr<RemoteFile> file, const RemoteFolderOptions& options,
               std::stop_token stop)
      : file_(std::move(file)), options_(options), stop_(std::move(stop)), spool_(options.spool) {}

  std::uint64_t size() const override { return file_->entry().size; }
  std::string identity() const override {
    return file_->name() + " " + std::to_string(size()) + " " + file_->entry().hash;
  }
  std::string expected_sha256() const override {
    const std::string& hash = file_->entry().hash;
    return hash.size() == 64 ? hash : "";
  }

  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    if (is_gits()) {
      TERN_TRY(bring_all());
      return spool_.read(offset, bytes);
    }
    if (spool_.holds(offset, bytes.size())) return spool_.read(offset, bytes);
    if (bytes.empty()) return {};
    TERN_TRY(file_->read(offset, bytes));
    if (bytes.size() == size()) return check(bytes);
    const std::scoped_lock lock(mutex_);
    unproved_.push_back({offset, bytes.size(), sha256_of(bytes)});
    return {};
  }
  Result<void> prepare(std::uint64_t begin, std::uint64_t end) const override {
    if (is_gits()) return bring_all();
    TERN_TRY(spool_.fill(*file_, begin, end, options_.connections, options_.chunk_bytes, stop_));
    return prove();
  }
  // Its commit is what was asked for, and the hash of the whole tells the reader.
  Result<void> check_unchanged() const override { return {}; }

 private:
  // Bytes that were used before the range was brought that the reader holds to the file's hash.
  struct Unproved {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::string sha256;
  };

  static std::string sha256_of(std::span<const std::byte> bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.finish();
  }

  Result<void> prove() const {
    const std::scoped_lock lock(mutex_);
    std::vector<std::byte> bytes;
    for (const Unproved& earlier : unproved_) {
      if (!spool_.holds(earlier.offset, earlier.bytes)) continue;
      bytes.resize(earlier.bytes);
      TERN_TRY(spool_.read(earlier.offset, bytes));
      if (sha256_of(bytes) == earlier.sha256) continue;
      return Error{ErrorCode::kMalformed,
                   "the server sent two different answers for the " +
                       std::to_string(earlier.bytes) + " bytes at " +
                       std::to_string(earlier.offset) + "; try again, or by another way to it",
                   file_->name()};
    }
    std::erase_if(unproved_, [&](const Unproved& earlier) {
      return spool_.holds(earlier.offset, earlier.bytes);
    });
    return {};
  }

  // Readers hold files to SHA-256 alone; one that is known by git's hash, which is a small one, is
  // checked here, before its first byte is used.
  bool is_gits() const { return expected_sha256().empty() && size() != 0; }

  Result<void> bring_all() const {
    const std::scoped_lock lock(mutex_);
    if (checked_) return {};
    TERN_TRY(spool_.fill(*file_, 0, size(), options_.connections, options_.chunk_bytes, stop_));
    BlobHash hash(file_->entry().hash, size());
    std::vector<std::byte> buffer;
    for (std::uint64_t at = 0; at < size(); at += buffer.size()) {
      buffer.resize(std::min(options_.chunk_bytes, size() - at));
      TERN_TRY(spool_.read(at, buffer));
      hash.update(buffer);
    }
    TERN_TRY(require_listed_hash(hash.finish()));
    checked_ = true;
    return {};
  }

  Result<void> check(std::span<const std::byte> all) const {
    BlobHash hash(file_->entry().hash, all.size());
    hash.update(all);
    return require_listed_hash(hash.finish());
  }

  Result<void> require_listed_hash(const std::string& found) const {
    if (found == file_->entry().hash) return {};
    return Error{ErrorCode::kMalformed,
                 "the bytes have not the hash that the server lists: expected " +
                     file_->entry().hash + ", found " + found,
                 file_->name()};
  }

  std::unique_ptr<RemoteFile> file_;
  const RemoteFolderOptions& options_;
  std::stop_token stop_;
  mutable Spool spool_;
  mutable std::mutex mutex_;
  mutable std::vector<Unproved> unproved_;
  mutable bool checked_ = false;  // the spool has all bytes, and they are right
};

class RemoteFolder final : public Folder {
 public:
  RemoteFolder(const Hub& hub, RemoteRevision revision, RemoteFolderOptions options)
      : hub_(hub), revision_(std::move(revision)), options_(std::move(options)) {
    const std::string& folder = revision_.ref.file;
    prefix_ = folder.empty() ? "" : folder + "/";
    for (const RemoteEntry& entry : revision_.files) {
      if (entry.path.starts_with(prefix_))
        files_.emplace(entry.path.substr(prefix_.size()), &entry);
    }
  }

  bool empty() const { return files_.empty(); }
  std::string name() const override {
    const std::string& from = revision_.ref.file.empty() ? revision_.ref.repo : revision_.ref.file;
    return from.substr(from.rfind('/') + 1);
  }
  std::string where(std::string_view file) const override {
    ModelRef ref = revision_.ref;
    ref.file = file.empty() ? ref.file : prefix_ + std::string(file);
    return ref.to_string();
  }
  bool has(std::string_view file) const override { return files_.contains(file); }
  std::vector<std::string> files() const override {
    std::vector<std::string> names;
    for (const auto& [name, entry] : files_) {
      if (name.find('/') == std::string::npos) names.push_back(name);
    }
    return names;
  }
  Result<std::unique_ptr<FileSource>> open(std::string_view file) const override {
    const auto found = files_.find(file);
    if (found == files_.end()) {
      return Error{ErrorCode::kIo, "the repository has no such file", where(file)};
    }
    const RemoteEntry& entry = *found->second;
    const auto cached = hub_.cache().find(revision_.ref.repo, revision_.commit, entry.path);
    if (cached) return open_file_source(*cached);
    return std::unique_ptr<FileSource>(
        std::make_unique<RemoteSource>(hub_.open(revision_, entry), options_, hub_.stop()));
  }

 private:
  const Hub& hub_;
  RemoteRevision revision_;
  RemoteFolderOptions options_;
  std::string prefix_;
  std::map<std::string, const RemoteEntry*, std::less<>> files_;
};

}  // namespace

Result<std::unique_ptr<Folder>> open_remote_folder(const Hub& hub, RemoteRevision revision,
                                                   RemoteFolderOptions options) {
  const std::string name = revision.ref.to_string();
  auto folder = std::make_unique<RemoteFolder>(hub, std::move(revision), std::move(options));
  if (!folder->empty()) return std::unique_ptr<Folder>(std::move(folder));
  return Error{ErrorCode::kUsage, "the repository has no such folder", name};
}

}  // namespace tern::hub
