#include "hub/part_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "core/fast_hash.h"
#include "core/sealed_line.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMagic = "tern-download-1";
constexpr std::uint64_t kMostJournal = std::uint64_t{64} << 20;
constexpr std::uint64_t kStatBlock = 512;

fs::path with_suffix(fs::path path, const char* suffix) { return path += suffix; }

Result<FileDescriptor> open_file(const fs::path& path, int flags) {
  FileDescriptor fd(::open(path.c_str(), flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd.is_open()) return io_error(path, "cannot open", errno);
  return fd;
}

}  // namespace

PartFile::PartFile(fs::path blob, std::string head, std::uint64_t size, std::uint64_t chunk_bytes)
    : blob_(std::move(blob)),
      part_(with_suffix(blob_, ".tern-part")),
      journal_(with_suffix(blob_, ".tern-journal")),
      head_(std::move(head)),
      size_(size),
      chunk_bytes_(chunk_bytes),
      done_((size + chunk_bytes - 1) / chunk_bytes) {}

Result<std::unique_ptr<PartFile>> PartFile::open(const fs::path& blob, const std::string& hash,
                                                 std::uint64_t size, std::uint64_t chunk_bytes) {
  const std::string head = std::string(kMagic) + " " + hash + " " + std::to_string(size) + " " +
                           std::to_string(chunk_bytes);
  std::unique_ptr<PartFile> file(new PartFile(blob, head, size, chunk_bytes));
  TERN_ASSIGN(file->fd_, open_file(file->part_, O_RDWR));
  TERN_ASSIGN(file->journal_fd_, open_file(file->journal_, O_RDWR | O_APPEND));
  TERN_TRY(file->read_journal());
  TERN_TRY(file->require_space());
  return file;
}

std::uint64_t PartFile::end_of(std::size_t chunk) const {
  return std::min(size_, (chunk + 1) * chunk_bytes_);
}

// What a journal of the same download has, and the part still holds.
Result<void> PartFile::read_journal() {
  struct stat status {};
  if (::fstat(journal_fd_.get(), &status) != 0) {
    return io_error(journal_, "cannot ask for its size", errno);
  }
  std::string text(std::min(static_cast<std::uint64_t>(status.st_size), kMostJournal), '\0');
  TERN_TRY(read_all_at(journal_fd_.get(), 0, std::as_writable_bytes(std::span(text)), journal_));
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || unsealed(line) != head_) return begin_journal();
  std::vector<std::byte> bytes;
  while (std::getline(lines, line)) {
    const auto entry = unsealed(line);
    if (!entry) continue;
    std::istringstream fields(*entry);
    std::size_t chunk = 0;
    std::uint64_t hash = 0;
    if (!(fields >> chunk >> std::hex >> hash) || chunk >= done_.size() || done_[chunk]) continue;
    if (!read(chunk, bytes) || fast_hash(bytes) != hash) continue;  // brought again
    done_[chunk] = true;
    resumed_bytes_ += bytes.size();
  }
  return {};
}

Result<void> PartFile::begin_journal() {
  if (::ftruncate(journal_fd_.get(), 0) != 0 || ::ftruncate(fd_.get(), 0) != 0 ||
      ::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) {
    return io_error(part_, "cannot set its size", errno);
  }
  const std::string line = sealed(head_);
  return write_all(journal_fd_.get(), std::as_bytes(std::span(line)), journal_);
}

Result<void> PartFile::require_space() const {
  struct statvfs room {};
  struct stat status {};
  if (::fstatvfs(fd_.get(), &room) != 0 || ::fstat(fd_.get(), &status) != 0) {
    return io_error(part_, "cannot ask for free space", errno);
  }
  const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
  const std::uint64_t there = static_cast<std::uint64_t>(status.st_blocks) * kStatBlock;
  const std::uint64_t missing = size_ > there ? size_ - there : 0;
  if (missing <= free) return {};
  return Error{ErrorCode::kIo,
               "the file needs " + std::to_string(missing) +
                   " bytes more and its file system has " + std::to_string(free) +
                   " free; free some, or set HF_HUB_CACHE to another place",
               part_.string()};
}

bool PartFile::has(std::size_t chunk) const {
  const std::scoped_lock lock(mutex_);
  return done_[chunk];
}

Result<void> PartFile::write(std::size_t chunk, std::span<const std::byte> bytes) {
  TERN_TRY(write_all_at(fd_.get(), begin_of(chunk), bytes, part_));
  const std::string line = sealed(std::to_string(chunk) + " " + hex(fast_hash(bytes)));
  const std::scoped_lock lock(mutex_);
  TERN_TRY(write_all(journal_fd_.get(), std::as_bytes(std::span(line)), journal_));
  done_[chunk] = true;
  changed_.notify_all();
  return {};
}

Result<void> PartFile::read(std::size_t chunk, std::vector<std::byte>& bytes) const {
  bytes.resize(end_of(chunk) - begin_of(chunk));
  return read_all_at(fd_.get(), begin_of(chunk), bytes, part_);
}

bool PartFile::wait_for(std::size_t chunk, const std::stop_token& stop) const {
  std::unique_lock lock(mutex_);
  return changed_.wait(lock, stop, [&] { return done_[chunk]; });
}

Result<void> PartFile::discard() {
  const std::scoped_lock lock(mutex_);
  done_.assign(done_.size(), false);
  resumed_bytes_ = 0;
  return begin_journal();
}

Result<void> PartFile::commit() {
  if (::fsync(fd_.get()) != 0) return io_error(part_, "cannot sync", errno);
  if (::rename(part_.c_str(), blob_.c_str()) != 0) {
    return io_error(blob_, "cannot rename the finished file", errno);
  }
  ::unlink(journal_.c_str());
  const fs::path parent = blob_.parent_path();
  const FileDescriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) return io_error(parent, "cannot open the directory", errno);
  return sync_directory(directory.get(), parent);
}

void PartFile::remove() {
  ::unlink(part_.c_str());
  ::unlink(journal_.c_str());
}

}  // namespace tern::hub
