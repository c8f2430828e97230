#include "core/cache_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "core/cache_header.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEntry = ".entry";
constexpr std::string_view kPart = ".part";  // an entry in the making
constexpr std::uint64_t kMostReserve = std::uint64_t{1} << 30;

bool is_key(std::string_view text) {
  constexpr std::size_t kMostCharacters = 64;
  return !text.empty() && text.size() <= kMostCharacters &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

std::string name_of(const CacheListing& listed) {
  return listed.key + std::string(listed.unfinished ? kPart : kEntry);
}

// Whether it is a path where nothing is. A text that may have lost its begin is not asked for.
bool is_gone(const std::string& subject) {
  struct stat info {};
  return subject.starts_with('/') && subject.size() < kMostLabelBytes &&
         ::stat(subject.c_str(), &info) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

std::chrono::system_clock::time_point time_of(const timespec& time) {
  return std::chrono::system_clock::time_point(
      std::chrono::seconds(time.tv_sec) +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::nanoseconds(time.tv_nsec)));
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

// Whether the lock was to be had at once. Errors: kIo where the file system cannot lock.
Result<bool> try_lock(int fd, int operation, const fs::path& path) {
  int status = 0;
  do {
    status = ::flock(fd, operation | LOCK_NB);
  } while (status != 0 && errno == EINTR);
  if (status == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return io_error(path, "cannot lock", errno);
}

struct OpenEntry {
  FileDescriptor fd;
  struct stat info {};
};

}  // namespace

// The directory, open: names are looked up in it, whatever its path comes to mean.
struct CacheDir::Place {
  fs::path path;
  std::uint64_t budget;
  FileDescriptor fd;

  fs::path at(const std::string& name) const { return path / name; }

  // A regular file of this user, not by way of a link. No value where there is none.
  Result<std::optional<OpenEntry>> open_entry(const std::string& name, int access) const {
    OpenEntry entry{FileDescriptor(::openat(fd.get(), name.c_str(),
                                            access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)),
                    {}};
    if (!entry.fd.is_open()) {
      if (errno == ENOENT) return std::optional<OpenEntry>();
      return io_error(at(name), "cannot open the cache entry", errno);
    }
    if (::fstat(entry.fd.get(), &entry.info) != 0) {
      return io_error(at(name), "cannot look at the cache entry", errno);
    }
    if (!S_ISREG(entry.info.st_mode) || entry.info.st_uid != ::geteuid()) {
      return Error{ErrorCode::kMalformed, "expected a regular file of this user",
                   at(name).string()};
    }
    return std::optional(std::move(entry));
  }

  // Removes the file where nobody holds it. False where someone does.
  Result<bool> remove(const std::string& name) const {
    auto opened = open_entry(name, O_RDWR);  // some file systems lock only what can be written
    if (opened && !*opened) return true;
    if (opened) {
      TERN_ASSIGN(const bool locked, try_lock((*opened)->fd.get(), LOCK_EX, at(name)));
      if (!locked) return false;
    }
    // What is no entry but has its name, a link for example, goes as well.
    if (::unlinkat(fd.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
      return io_error(at(name), "cannot remove the cache entry", errno);
    }
    return true;
  }

  Result<FileDescriptor> lock() const;
  Result<std::vector<CacheListing>> keys() const;
  Result<std::vector<CacheListing>> list() const;
  Result<std::uint64_t> free_bytes() const;
  Result<void> make_room(const std::string& key, std::uint64_t bytes) const;
  Result<FileDescriptor> begin_part(const std::string& name) const;
  Result<void> remove_outdated(const std::string& key, const CacheLabel& label) const;
};

// The directory's lock, until the descriptor closes. Held for moments: who finds it taken tries
// again.
Result<FileDescriptor> CacheDir::Place::lock() const {
  constexpr int kAttempts = 100;
  FileDescriptor directory(::openat(fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) return io_error(path, "cannot open the cache directory", errno);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    TERN_ASSIGN(const bool locked, try_lock(directory.get(), LOCK_EX, path));
    if (locked) return directory;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return Error{ErrorCode::kIo, "another process keeps the cache directory locked", path.string()};
}

// What has the name of an entry or a part, whatever it is.
Result<std::vector<CacheListing>> CacheDir::Place::keys() const {
  std::vector<CacheListing> found;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    for (const bool unfinished : {false, true}) {
      const std::string_view suffix = unfinished ? kPart : kEntry;
      if (!name.ends_with(suffix)) continue;
      CacheListing listed{name.substr(0, name.size() - suffix.size()), {}, 0, {}, unfinished};
      if (is_key(listed.key)) found.push_back(std::move(listed));
    }
  }
  if (error) return io_error(path, "cannot list the directory", error.value());
  return found;
}

Result<std::vector<CacheListing>> CacheDir::Place::list() const {
  std::vector<CacheListing> listed;
  TERN_ASSIGN(auto found, keys());
  for (CacheListing& entry : found) {
    const auto opened = open_entry(name_of(entry), O_RDONLY);
    if (!opened || !*opened) continue;  // no file of this user, or removed meanwhile
    const int file = (*opened)->fd.get();
    const struct stat& info = (*opened)->info;
    entry.bytes = static_cast<std::uint64_t>(info.st_size);
    if (!is_cache_file(file, entry.bytes)) continue;
    entry.last_use = time_of(info.st_mtim);
    // That of a part says that nothing follows.
    const std::uint64_t bytes = entry.unfinished ? kCacheHeaderBytes : entry.bytes;
    if (const auto header = read_cache_header(file, bytes, at(name_of(entry)))) {
      entry.label = label_of(*header);
      entry.subject_gone = is_gone(entry.label->subject);
    }
    listed.push_back(std::move(entry));
  }
  std::sort(listed.begin(), listed.end(),
            [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
  return listed;
}

Result<std::uint64_t> CacheDir::Place::free_bytes() const {
  struct statvfs disk {};
  if (::fstatvfs(fd.get(), &disk) != 0) return io_error(path, "cannot ask for free space", errno);
  return std::uint64_t{disk.f_bavail} * disk.f_frsize;
}

// For an entry of `bytes` that replaces the one of `key`: removes what killed writers left, and
// evicts entries until all fit the budget and the new one the disk; the one that it replaces only
// for the disk's sake. One process at a time, so that two do not both take the room that is left.
Result<void> CacheDir::Place::make_room(const std::string& key, std::uint64_t bytes) const {
  const auto refused = [&](std::string message) {
    return Error{ErrorCode::kIo, std::move(message), path.string()};
  };
  const std::string needs = "the entry needs " + std::to_string(bytes) + " bytes";
  if (bytes > budget) return refused(needs + ", the budget is " + std::to_string(budget));
  TERN_ASSIGN(auto others, list());
  std::erase_if(others, [&](const CacheListing& other) {
    if (!other.unfinished) return false;
    if (other.key == key) return true;
    const auto removed = remove(name_of(other));
    return removed && *removed;
  });
  std::stable_partition(others.begin(), others.end(),
                        [](const CacheListing& other) { return other.subject_gone; });
  const std::uint64_t wanted = bytes + std::min(bytes, kMostReserve);
  std::uint64_t used = bytes;
  std::uint64_t most_free = 0;
  for (const CacheListing& other : others) {
    if (other.key != key) used += other.bytes;
    if (!other.unfinished) most_free += other.bytes;
  }
  TERN_ASSIGN(std::uint64_t free, free_bytes());
  most_free += free;
  for (const CacheListing& other : others) {
    if (wanted > most_free || other.unfinished) continue;  // in vain, or being written
    if (wanted <= free && (used <= budget || other.key == key)) continue;
    const auto removed = remove(name_of(other));
    if (!removed || !*removed) continue;
    if (other.key != key) used -= other.bytes;
    TERN_ASSIGN(free, free_bytes());
  }
  if (wanted > free) {
    return refused(needs + ", and " + std::to_string(wanted - bytes) +
                   " are to stay free, the disk has " + std::to_string(free));
  }
  if (used <= budget) return {};
  return refused("the budget of " + std::to_string(budget) + " bytes is taken by entries in use");
}

// What the same subject and variant had before its content changed; what is in use may stay.
Result<void> CacheDir::Place::remove_outdated(const std::string& key,
                                              const CacheLabel& label) const {
  TERN_ASSIGN(const auto entries, list());
  for (const CacheListing& entry : entries) {
    if (entry.key == key || entry.unfinished || entry.label != label) continue;
    TERN_TRY(remove(name_of(entry)));
  }
  return {};
}

// The part of that name, locked. Errors: kIo.
Result<FileDescriptor> CacheDir::Place::begin_part(const std::string& name) const {
  constexpr int kAttempts = 8;  // others may remove or rename it between two steps of this one
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    FileDescriptor part(::openat(fd.get(), name.c_str(),
                                 O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
    struct stat info {};
    const bool ours = part.is_open() && ::fstat(part.get(), &info) == 0 && S_ISREG(info.st_mode) &&
                      info.st_uid == ::geteuid();
    if (!ours) {
      const int reason = part.is_open() ? EPERM : errno;
      if (reason != EPERM && reason != ELOOP && reason != ENXIO) {
        return io_error(at(name), "cannot create the cache entry", reason);
      }
      if (::unlinkat(fd.get(), name.c_str(), 0) == 0) continue;
      return io_error(at(name), "cannot replace what is in the entry's place", errno);
    }
    TERN_ASSIGN(const bool locked, try_lock(part.get(), LOCK_EX, at(name)));
    if (!locked) {
      return Error{ErrorCode::kIo, "another process is writing this entry", at(name).string()};
    }
    struct stat named {};
    const int status = ::fstatat(fd.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW);
    if (status == 0 && same_file(info, named)) return part;
  }
  return Error{ErrorCode::kIo, "other processes keep replacing this entry", at(name).string()};
}

Result<CacheDir> CacheDir::open(const fs::path& path, std::uint64_t budget) {
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error) return io_error(path.parent_path(), "cannot make the directory", error.value());
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return io_error(path, "cannot make the cache directory", errno);
  }
  TERN_ASSIGN(auto opened, open_existing(path, budget));
  if (!opened) return io_error(path, "cannot open the cache directory", ENOENT);
  return std::move(*opened);
}

Result<std::optional<CacheDir>> CacheDir::open_existing(const fs::path& path,
                                                        std::uint64_t budget) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open()) {
    if (errno == ENOENT) return std::optional<CacheDir>();
    return io_error(path, "cannot open the cache directory", errno);
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) {
    return io_error(path, "cannot look at the cache directory", errno);
  }
  if (info.st_uid != ::geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error{ErrorCode::kIo,
                 "expected a directory of this user that no other may write to (mode 0700); "
                 "choose another one",
                 path.string()};
  }
  return std::optional(CacheDir(std::make_shared<Place>(Place{path, budget, std::move(fd)})));
}

const fs::path& CacheDir::path() const { return place_->path; }

Result<std::vector<CacheListing>> CacheDir::list() const { return place_->list(); }

Result<bool> CacheDir::remove(std::string_view key) {
  return place_->remove(std::string(key) + std::string(kEntry));
}

Result<bool> CacheDir::remove(const CacheListing& listed) {
  return place_->remove(name_of(listed));
}

Result<std::optional<CacheReader>> CacheDir::find(std::string_view key) const {
  const std::string name = std::string(key) + std::string(kEntry);
  TERN_ASSIGN(std::optional<OpenEntry> entry, place_->open_entry(name, O_RDONLY));
  if (!entry) return std::optional<CacheReader>();
  TERN_ASSIGN(const bool locked, try_lock(entry->fd.get(), LOCK_SH, place_->at(name)));
  if (!locked) {
    return Error{ErrorCode::kIo, "another process is replacing or removing this entry",
                 place_->at(name).string()};
  }
  TERN_ASSIGN(const CacheHeader header,
              read_cache_header(entry->fd.get(), static_cast<std::uint64_t>(entry->info.st_size),
                                place_->at(name)));
  const std::array<timespec, 2> now{{{0, UTIME_OMIT}, {0, UTIME_NOW}}};
  static_cast<void>(::futimens(entry->fd.get(), now.data()));  // on a read-only disk: not marked
  return std::optional(CacheReader(place_->at(name), std::move(entry->fd), header.payload_bytes));
}

Result<void> CacheReader::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  return read_all_at(fd_.get(), kCacheHeaderBytes + offset, bytes, path_);
}

struct CacheWriter::State {
  std::shared_ptr<const CacheDir::Place> place;
  std::string key;
  CacheLabel label;  // as the header keeps it
  std::uint64_t bytes;
  FileDescriptor fd;
  std::uint64_t written = 0;

  std::string name(std::string_view suffix) const { return key + std::string(suffix); }
  fs::path path() const { return place->at(name(kEntry)); }
};

CacheWriter::CacheWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}

CacheWriter::CacheWriter(CacheWriter&&) noexcept = default;

CacheWriter::~CacheWriter() {
  // The lock is held until the descriptor closes, so the part is still this writer's.
  if (state_ && state_->fd.is_open()) {
    ::unlinkat(state_->place->fd.get(), state_->name(kPart).c_str(), 0);
  }
}

Result<CacheWriter> CacheDir::begin(std::string_view key, const CacheLabel& label,
                                    std::uint64_t bytes) {
  const std::uint64_t file_bytes = kCacheHeaderBytes + bytes;
  TERN_ASSIGN(const FileDescriptor locked, place_->lock());
  CacheWriter writer(std::make_unique<CacheWriter::State>(CacheWriter::State{
      place_, std::string(key), label_of(make_cache_header(label, 0)), bytes, FileDescriptor()}));
  CacheWriter::State& state = *writer.state_;
  TERN_ASSIGN(state.fd, place_->begin_part(state.name(kPart)));
  // What was left in its place takes no room from now on.
  if (::ftruncate(state.fd.get(), 0) != 0) {
    return io_error(state.path(), "cannot empty the cache entry", errno);
  }
  TERN_TRY(place_->make_room(state.key, file_bytes));
  // A header that says that nothing follows: the part can be known as one. Its own comes last.
  const CacheHeader header = make_cache_header(state.label, 0);
  TERN_TRY(write_all_at(state.fd.get(), 0, std::as_bytes(std::span(&header, 1)), state.path()));
  // From now on the part counts with its whole size in the budget of others.
  if (::ftruncate(state.fd.get(), static_cast<off_t>(file_bytes)) != 0 ||
      ::lseek(state.fd.get(), static_cast<off_t>(kCacheHeaderBytes), SEEK_SET) < 0) {
    return io_error(state.path(), "cannot set the size of the cache entry", errno);
  }
  return writer;
}

Result<void> CacheWriter::write(std::span<const std::byte> bytes) {
  TERN_TRY(write_all(state_->fd.get(), bytes, state_->path()));
  state_->written += bytes.size();
  return {};
}

Result<void> CacheWriter::commit() {
  State& state = *state_;
  const int directory = state.place->fd.get();
  if (state.written != state.bytes) {
    return Error{ErrorCode::kUsage,
                 "expected a payload of " + std::to_string(state.bytes) + " bytes, found " +
                     std::to_string(state.written),
                 state.path().string()};
  }
  const CacheHeader header = make_cache_header(state.label, state.bytes);
  if (::lseek(state.fd.get(), 0, SEEK_SET) != 0) {
    return io_error(state.path(), "cannot go to the start of the cache entry", errno);
  }
  TERN_TRY(write_all(state.fd.get(), std::as_bytes(std::span(&header, 1)), state.path()));
  if (::fsync(state.fd.get()) != 0) return io_error(state.path(), "cannot sync", errno);
  if (::renameat(directory, state.name(kPart).c_str(), directory, state.name(kEntry).c_str()) !=
      0) {
    return io_error(state.path(), "cannot rename the finished cache entry", errno);
  }
  state.fd.close();
  TERN_TRY(sync_directory(directory, state.place->path));
  return state.place->remove_outdated(state.key, state.label);
}

}  // namespace tern
