// A file mapped read-only into memory. Move-only; unmaps when destroyed. The file must not shrink
// meanwhile: the system answers a read of a page that is gone with SIGBUS. Replace, never truncate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

#include "core/file_descriptor.h"
#include "core/result.h"

namespace tern {

// What a file system knows of a file's content without reading it.
struct FileIdentity {
  std::uint64_t inode;
  std::uint64_t size;
  std::int64_t modified;  // nanoseconds since the epoch, as below
  std::int64_t changed;   // content, owner, name or mode; a program cannot set it
};

class MappedFile {
 public:
  // Errors: kIo when the file is missing, is not a regular file, is empty, or cannot be mapped.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  // As it was when the file was opened.
  const FileIdentity& identity() const { return identity_; }

  // Copies `part` of the mapping to `to`, read from the file so that no page of it comes into this
  // process's memory: a small part that is read where it lies can bring in 2 MiB.
  void copy(std::span<const std::byte> part, std::byte* to) const;
  // Takes the whole pages within `part` out of this process's memory; the next read brings them
  // back from the file or its cache. A part outside the mapping is left alone.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile(FileDescriptor descriptor, std::span<const std::byte> bytes,
             const FileIdentity& identity)
      : descriptor_(std::move(descriptor)), bytes_(bytes), identity_(identity) {}

  FileDescriptor descriptor_;
  std::span<const std::byte> bytes_;
  FileIdentity identity_;
};

}  // namespace tern
