#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/file_descriptor.h"
#include "core/file_identity.h"

namespace tern {

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open()) return io_error(path, "cannot open the file", errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return io_error(path, "cannot read the file's size", errno);
  if (!S_ISREG(info.st_mode) || info.st_size == 0) {
    return Error{ErrorCode::kIo,
                 S_ISREG(info.st_mode) ? "the file is empty" : "expected a regular file",
                 path.string()};
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) return io_error(path, "cannot map the file into memory", errno);
  const std::span bytes(static_cast<const std::byte*>(address), size);
  return MappedFile(std::move(fd), bytes, identity_of(info));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : descriptor_(std::move(other.descriptor_)),
      bytes_(std::exchange(other.bytes_, {})),
      identity_(other.identity_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  std::swap(identity_, other.identity_);
  return *this;
}

void MappedFile::copy(std::span<const std::byte> part, std::byte* to) const {
  auto offset = static_cast<off_t>(part.data() - bytes_.data());
  while (!part.empty()) {
    const ssize_t got = ::pread(descriptor_.get(), to, part.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    part = part.subspan(static_cast<std::size_t>(got));
    to += got;
    offset += got;
  }
  // What the file did not give the mapping answers for, as for any other read of it.
  std::copy(part.begin(), part.end(), to);
}

void MappedFile::release(std::span<const std::byte> part) const {
  if (part.data() < bytes_.data() || part.data() + part.size() > bytes_.data() + bytes_.size()) {
    return;
  }
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<std::size_t>(part.data() - bytes_.data());
  const std::size_t begin = (offset + page - 1) / page * page;
  const std::size_t end = (offset + part.size()) / page * page;
  if (begin >= end) return;
  // Advice: where it is not taken, the pages stay, which costs memory and nothing else.
  static_cast<void>(::madvise(const_cast<std::byte*>(bytes_.data()) + begin,  // NOLINT: void*
                              end - begin, MADV_DONTNEED));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());  // NOLINT: munmap takes void*
  }
}

}  // namespace tern
