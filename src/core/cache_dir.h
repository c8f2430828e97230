// A directory of files that can be made again: the one owner of what Tern keeps on disk for speed.
//
// An entry is a payload under a key. It appears whole or not at all, is never changed, and belongs
// to its user alone (mode 0600). Processes share a directory: of one key there is one writer, and
// nothing is removed while someone reads it. A budget bounds the sum of the entries; the least
// recently used ones go first, and before them those whose model is gone. A cache is never needed:
// who gets an Error says so and works without.
//
// The directory may hold files of others. Those stay: what is listed, evicted or tidied up has the
// name of a key and the content of an entry (cache_header.h).
//
// Thread safety: a CacheDir, and a CacheReader, from any thread; a CacheWriter from one at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_descriptor.h"
#include "core/result.h"

namespace tern {

inline constexpr std::size_t kMostLabelBytes = 1024;  // of each text

// What a listing says of an entry; the last kMostLabelBytes of each count.
struct CacheLabel {
  std::string subject;  // what the payload was made from: the path of a model
  std::string variant;  // and for what: a tier and its layout

  bool operator==(const CacheLabel&) const = default;
};

// An entry that is open: it stays, whoever clears the directory.
class CacheReader {
 public:
  std::uint64_t size() const { return size_; }  // of the payload
  // Errors: kIo.
  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  friend class CacheDir;
  CacheReader(std::filesystem::path path, FileDescriptor fd, std::uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

  std::filesystem::path path_;
  FileDescriptor fd_;
  std::uint64_t size_;
};

// An entry in the making; what is not committed is removed by the destructor, or, where the process
// was killed, by the next writer.
class CacheWriter {
 public:
  CacheWriter(CacheWriter&&) noexcept;
  CacheWriter& operator=(CacheWriter&&) = delete;
  ~CacheWriter();

  // Appends to the payload. Errors: kIo.
  Result<void> write(std::span<const std::byte> bytes);
  // Syncs the entry and gives it its name. Older entries with the same label go. Errors: kIo;
  // kUsage where the payload has not the size that was announced.
  Result<void> commit();

 private:
  friend class CacheDir;
  struct State;
  explicit CacheWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct CacheListing {
  std::string key;
  std::optional<CacheLabel> label;  // without a value: damaged, or of another version
  std::uint64_t bytes = 0;          // of the file
  std::chrono::system_clock::time_point last_use;
  bool unfinished = false;    // in the making, or left by a writer that was killed
  bool subject_gone = false;  // the subject is a path, and nothing is there
};

// Keys are 1 to 64 characters of a-z, 0-9 and '-'.
class CacheDir {
 public:
  // Makes the directory (mode 0700) where it is missing. Errors: kIo, and for a directory that
  // another user owns or may write to.
  static Result<CacheDir> open(const std::filesystem::path& path, std::uint64_t budget);
  // Makes nothing: no value where there is no directory. Errors: as open().
  static Result<std::optional<CacheDir>> open_existing(const std::filesystem::path& path,
                                                       std::uint64_t budget);

  const std::filesystem::path& path() const;

  // The entry of that key, which counts as used now; no value where there is none. Errors: kIo for
  // what cannot be read or is being removed, kMalformed for damage, another version, and what is
  // no entry.
  Result<std::optional<CacheReader>> find(std::string_view key) const;

  // Begins the entry of that key, for a payload of `bytes`; it will replace the one that is there.
  // Evicts others as the budget wants it, and as the disk does: on it stays free as much again as
  // the entry takes, 1 GiB at most. Errors: kIo where another process is writing that entry, or
  // where budget or disk have no room.
  Result<CacheWriter> begin(std::string_view key, const CacheLabel& label, std::uint64_t bytes);

  // The least recently used first, what is unfinished among them.
  Result<std::vector<CacheListing>> list() const;

  // False where a process is reading the entry. Errors: kIo.
  Result<bool> remove(std::string_view key);
  // False where a process is reading or writing it. Errors: kIo.
  Result<bool> remove(const CacheListing& listed);

 private:
  friend class CacheWriter;
  struct Place;
  explicit CacheDir(std::shared_ptr<const Place> place) : place_(std::move(place)) {}

  std::shared_ptr<const Place> place_;
};

}  // namespace tern
