// Files to be read, wherever they lie: in a folder of this machine, or in a repository on a server
// (hub/remote_folder.h). They are read by offset and never mapped, so that memory stays as small as
// the reader's buffer, and a file that shrinks meanwhile is an error instead of a signal.
//
// Immutable once opened; any number of threads may read a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern {

class FileSource {
 public:
  FileSource() = default;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  virtual ~FileSource() = default;

  virtual std::uint64_t size() const = 0;
  // Where the file is and by what its content is known: equal texts, equal bytes.
  virtual std::string identity() const = 0;
  // 64 digits that the SHA-256 of the bytes must be; empty: nobody has promised any.
  virtual std::string expected_sha256() const = 0;

  // All of `bytes`. Errors: kIo, and those of a server.
  virtual Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const = 0;
  // Says that the bytes from `begin` up to, without, `end` are read next, perhaps several times, so
  // that they come from afar once. One call at a time, while nobody reads.
  virtual Result<void> prepare(std::uint64_t begin, std::uint64_t end) const = 0;
  // An error where the file is not any more what it was when it was opened.
  virtual Result<void> check_unchanged() const = 0;
};

class Folder {
 public:
  Folder() = default;
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  virtual ~Folder() = default;

  // "bitnet-2b", the last part of where it is.
  virtual std::string name() const = 0;
  // Where a file of it is, for messages; the folder itself for an empty name.
  virtual std::string where(std::string_view file) const = 0;
  virtual bool has(std::string_view file) const = 0;
  // Of the files directly in it.
  virtual std::vector<std::string> files() const = 0;
  // `file` may have folders in it. Errors: kIo, and those of a server.
  virtual Result<std::unique_ptr<FileSource>> open(std::string_view file) const = 0;
};

// A folder of this machine. Errors: kIo where there is none.
Result<std::unique_ptr<Folder>> open_folder(const std::filesystem::path& path);

// A file of this machine. Errors: kIo, also for what is no regular file.
Result<std::unique_ptr<FileSource>> open_file_source(const std::filesystem::path& path);

// A file of at most `most` bytes in whole. Errors: those of open and read; kUnsupported for longer
// ones.
Result<std::string> read_text(const Folder& folder, std::string_view file, std::size_t most);
Result<std::string> read_text(const std::filesystem::path& file, std::size_t most);

}  // namespace tern
