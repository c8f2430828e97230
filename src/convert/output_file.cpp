#include "convert/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <sstream>
#include <utility>

#include "core/file_place.h"
#include "core/sealed_line.h"

namespace tern::convert {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "tern-convert-1";
constexpr std::size_t kMostJournal = std::size_t{64} << 20;

Result<FileDescriptor> open_file(const fs::path& path, int flags) {
  FileDescriptor fd(::open(path.c_str(), flags | O_CLOEXEC, 0666));
  if (!fd.is_open()) return io_error(path, "cannot open", errno);
  return fd;
}

}  // namespace

Result<void> refuse_same_file(const fs::path& input, const fs::path& output) {
  for (const char* suffix : {"", ".part", ".journal"}) {
    fs::path written = output;
    written += suffix;
    std::error_code ignored;
    if (!fs::equivalent(input, written, ignored)) continue;
    return Error{ErrorCode::kUsage,
                 "input and output are the same file; write to another and rename it",
                 written.string()};
  }
  return {};
}

OutputFile::OutputFile(fs::path path, std::uint64_t bytes)
    : path_(std::move(path)),
      part_(path_.string() + ".part"),
      journal_(path_.string() + ".journal"),
      bytes_(bytes) {}

void OutputFile::read_journal(const std::string& fingerprint) {
  struct stat status {};
  if (::fstat(journal_fd_.get(), &status) != 0) return;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > kMostJournal) return;
  std::string text(size, '\0');
  if (!read_all_at(journal_fd_.get(), 0, std::as_writable_bytes(std::span(text)), journal_)) return;
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line)) return;
  same_fingerprint_ = unsealed(line) == std::string(kMagic) + " " + fingerprint;
  if (!same_fingerprint_) return;
  while (std::getline(lines, line)) {
    const auto entry = unsealed(line);
    if (!entry) continue;  // cut by the end of a process; that tensor is made again
    std::istringstream fields(*entry);
    std::size_t tensor = 0;
    Entry found;
    if (fields >> tensor >> std::hex >> found.hash >> found.rounded) recorded_[tensor] = found;
  }
}

// Who ends in between renames the part: what is locked then is the finished file, not to be
// touched.
Result<void> OutputFile::lock_part() {
  for (;;) {
    TERN_ASSIGN(fd_, open_file(part_, O_RDWR | O_CREAT | O_NOFOLLOW));
    if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      return Error{ErrorCode::kUsage, "another conversion is writing this file; wait for it",
                   part_.string()};
    }
    struct stat locked {};
    struct stat named {};
    if (::fstat(fd_.get(), &locked) == 0 && ::stat(part_.c_str(), &named) == 0 &&
        locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) {
      return {};
    }
  }
}

// Opens the journal where part and journal are an earlier call's, or nothing is there yet.
// Something else of such a name is somebody's: it would be written over.
Result<void> OutputFile::open_journal() {
  const auto foreign = [](const fs::path& path) {
    return Error{ErrorCode::kUsage,
                 "expected what an earlier call left here, found another file; take it away, or "
                 "write elsewhere",
                 path.string()};
  };
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) return io_error(part_, "cannot ask for its size", errno);
  const bool has_part = status.st_size != 0;
  std::error_code ignored;
  if (has_part && !fs::exists(fs::symlink_status(journal_, ignored))) return foreign(part_);
  TERN_ASSIGN(journal_fd_, open_file(journal_, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW));
  std::string start(kMagic.size(), '\0');
  const ssize_t read = ::pread(journal_fd_.get(), start.data(), start.size(), 0);
  if (read < 0) return io_error(journal_, "cannot read", errno);
  start.resize(static_cast<std::size_t>(read));
  if (kMagic.starts_with(start)) return {};  // or the beginning of it: an end came just then
  if (!has_part) ::unlink(part_.c_str());
  return foreign(journal_);
}

Result<OutputFile> OutputFile::open(const fs::path& path, const std::string& fingerprint,
                                    std::uint64_t bytes) {
  TERN_TRY(check_file_place(path));
  OutputFile file(path, bytes);
  TERN_TRY(file.lock_part());
  TERN_TRY(file.open_journal());
  file.read_journal(fingerprint);
  struct stat status {};
  if (::fstat(file.fd_.get(), &status) != 0) {
    return io_error(file.part_, "cannot ask for its size", errno);
  }
  if (file.same_fingerprint_ && static_cast<std::uint64_t>(status.st_size) == bytes) return file;
  file.recorded_.clear();
  const std::string head = sealed(std::string(kMagic) + " " + fingerprint);
  if (::ftruncate(file.fd_.get(), 0) != 0 || ::ftruncate(file.journal_fd_.get(), 0) != 0 ||
      ::ftruncate(file.fd_.get(), static_cast<off_t>(bytes)) != 0) {
    return io_error(file.part_, "cannot set its size", errno);
  }
  TERN_TRY(write_all(file.journal_fd_.get(), std::as_bytes(std::span(head)), file.journal_));
  return file;
}

Result<void> OutputFile::require_space() const {
  struct statvfs room {};
  struct stat status {};
  if (::fstatvfs(fd_.get(), &room) != 0 || ::fstat(fd_.get(), &status) != 0) {
    return io_error(part_, "cannot ask for free space", errno);
  }
  const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
  const std::uint64_t written = static_cast<std::uint64_t>(status.st_blocks) * 512;
  const std::uint64_t missing = bytes_ > written ? bytes_ - written : 0;
  if (missing <= free) return {};
  return Error{ErrorCode::kIo,
               "the file needs " + std::to_string(missing) +
                   " bytes more and its file system has " + std::to_string(free) +
                   " free; free some, or write elsewhere",
               path_.string()};
}

Result<void> OutputFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  return write_all_at(fd_.get(), offset, bytes, part_);
}

Result<void> OutputFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  return read_all_at(fd_.get(), offset, bytes, part_);
}

std::optional<OutputFile::Entry> OutputFile::recorded(std::size_t tensor) const {
  const auto found = recorded_.find(tensor);
  return found == recorded_.end() ? std::nullopt : std::optional(found->second);
}

Result<void> OutputFile::record(std::size_t tensor, const Entry& entry) {
  recorded_[tensor] = entry;
  const std::string line =
      sealed(std::to_string(tensor) + " " + hex(entry.hash) + " " + hex(entry.rounded));
  return write_all(journal_fd_.get(), std::as_bytes(std::span(line)), journal_);
}

Result<void> OutputFile::sync() const {
  if (::fsync(fd_.get()) != 0) return io_error(part_, "cannot sync", errno);
  return {};
}

void OutputFile::discard() {
  ::unlink(part_.c_str());
  ::unlink(journal_.c_str());
}

Result<void> OutputFile::commit() {
  TERN_TRY(sync());
  if (::rename(part_.c_str(), path_.c_str()) != 0) {
    return io_error(path_, "cannot rename the finished file", errno);
  }
  ::unlink(journal_.c_str());
  const fs::path parent = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
  TERN_ASSIGN(const FileDescriptor directory, open_file(parent, O_RDONLY | O_DIRECTORY));
  return sync_directory(directory.get(), parent);
}

}  // namespace tern::convert
