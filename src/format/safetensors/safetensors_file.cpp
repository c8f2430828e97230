#include "format/safetensors/safetensors_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace tern::format {
namespace {

constexpr std::uint64_t kLengthBytes = 8;

Result<FileIdentity> identity_of(int fd, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return io_error(path, "cannot ask for its size", errno);
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kIo, "expected a regular file", path.string()};
  }
  const auto nanoseconds = [](const timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  };
  return FileIdentity{status.st_ino, static_cast<std::uint64_t>(status.st_size),
                      nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

}  // namespace

Result<std::uint64_t> safetensors_header_bytes(std::span<const std::byte> first,
                                               std::uint64_t file_bytes,
                                               const std::string& source) {
  const auto malformed = [&](std::string message) {
    return Error{ErrorCode::kMalformed, std::move(message), source};
  };
  if (first.size() < kLengthBytes) {
    return malformed("the file ends inside the length of its header: expected 8 bytes, found " +
                     std::to_string(first.size()));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, first.data(), kLengthBytes);
  if (length < 2) {
    return malformed("expected a header of at least 2 bytes ('{}'), its length says " +
                     std::to_string(length));
  }
  if (length > kMostSafetensorsHeader) {
    return malformed("expected a header of at most 100000000 bytes, its length says " +
                     std::to_string(length) + "; this is not a safetensors file");
  }
  if (length > file_bytes - kLengthBytes) {
    return malformed("the file ends inside its header: expected " + std::to_string(length) +
                     " bytes behind the length, found " +
                     std::to_string(file_bytes - kLengthBytes) + "; the download is cut");
  }
  return length;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.is_open()) return io_error(path, "cannot open", errno);
  TERN_ASSIGN(const FileIdentity identity, identity_of(fd.get(), path));
  SafetensorsFile file(path, std::move(fd), identity);
  std::vector<std::byte> first(std::min(identity.size, kLengthBytes));
  TERN_TRY(file.read(0, first));
  TERN_ASSIGN(const std::uint64_t length,
              safetensors_header_bytes(first, identity.size, path.string()));
  std::vector<std::byte> header(length);
  TERN_TRY(file.read(kLengthBytes, header));
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  TERN_ASSIGN(file.tensors_,
              parse_safetensors_header(text, kLengthBytes + length, identity.size, path.string()));
  return file;
}

Result<FileIdentity> SafetensorsFile::identity_now() const { return identity_of(fd_.get(), path_); }

Result<void> SafetensorsFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  return read_all_at(fd_.get(), offset, bytes, path_);
}

}  // namespace tern::format
