#include "convert/staged_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <utility>

#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMark = ".tern-transcode";
constexpr const char* kSubfolder = "1_Pooling";
// All the files that a folder in the making may hold: those that the next call goes on with, and
// those that it writes anew.
constexpr std::array kKept{kMark, "model.safetensors.part", "model.safetensors.journal"};
constexpr std::array kWritten{"config.json",           "generation_config.json", "modules.json",
                              "1_Pooling/config.json", "tokenizer.json",         "tokenizer.model",
                              "tokenizer_config.json", "model.safetensors"};

template <typename Names>
bool is_one_of(const Names& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Result<void> make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0777) == 0 || errno == EEXIST) return {};
  return io_error(path, "cannot make the folder", errno);
}

Result<void> sync_folder(const fs::path& path) {
  const FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) return io_error(path, "cannot open", errno);
  return sync_directory(folder.get(), path);
}

// Renaming puts another folder there, which its own file system and those who are in it forbid.
Result<void> check_replaceable(const fs::path& place) {
  struct stat here {};
  if (::stat(place.c_str(), &here) != 0 || !S_ISDIR(here.st_mode)) return {};
  struct stat other {};
  const auto refuse = [&](const char* what) {
    return Error{ErrorCode::kUsage,
                 std::string("expected a folder that can be replaced, found ") + what +
                     "; write to a new one in it",
                 place.string()};
  };
  struct statx found {};
  const bool is_mounted = ::statx(AT_FDCWD, place.c_str(), 0, STATX_INO, &found) == 0 &&
                          (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  const bool has_parent = ::stat(place.parent_path().c_str(), &other) == 0;
  if (is_mounted || (has_parent && (other.st_dev != here.st_dev || is_same(other, here)))) {
    return refuse("one where a file system begins");
  }
  if (::stat(".", &other) == 0 && is_same(other, here)) {
    return refuse("the folder in which this runs");
  }
  return {};
}

// An empty folder is as good as none.
Result<void> check_free(const fs::path& place) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(place, error);
  if (!fs::exists(status) && (!error || status.type() == fs::file_type::not_found)) return {};
  const bool empty = !error && fs::is_directory(status) && fs::is_empty(place, error);
  if (error) return io_error(place, "cannot look at it", error.value());
  if (empty) return {};
  return Error{ErrorCode::kUsage,
               "expected a new or an empty folder to write, found something; write elsewhere, or "
               "remove it",
               place.string()};
}

}  // namespace

Result<fs::path> StagedFolder::find_place(const fs::path& path) {
  if (path.empty()) return Error{ErrorCode::kUsage, "expected the name of a folder", "output"};
  std::error_code error;
  fs::path place = fs::absolute(path, error);
  if (!error) place = fs::weakly_canonical(place, error);
  if (error) return io_error(path, "cannot find where it leads", error.value());
  if (!place.has_filename()) place = place.parent_path();  // "new/"
  TERN_TRY(check_replaceable(place));
  TERN_TRY(check_free(place));
  return place;
}

StagedFolder::StagedFolder(fs::path path)
    : path_(std::move(path)), part_(path_.string() + ".part") {}

Result<StagedFolder> StagedFolder::open(const fs::path& place) {
  StagedFolder folder(place);
  TERN_TRY(folder.lock());
  if (auto free = check_free(place); !free) {  // who had the lock before is done
    folder.leave();
    return std::move(free.error());
  }
  TERN_TRY(folder.clear());
  TERN_TRY(folder.take_mode());
  TERN_TRY(sync_folder(folder.part_));  // the mark lasts as long as what stands beside it
  return folder;
}

// Without a trace where there was nothing before.
void StagedFolder::leave() const {
  std::error_code error;
  const fs::directory_iterator entries(part_, error);
  if (error || std::distance(begin(entries), end(entries)) != 1) return;  // the mark
  ::unlink((part_ / kMark).c_str());
  ::rmdir(part_.c_str());
}

// A folder without the mark is Tern's where nothing is in it. Not open: look again, because another
// process has taken the folder away meanwhile.
Result<FileDescriptor> StagedFolder::open_mark() const {
  const fs::path path = part_ / kMark;
  std::error_code error;
  const bool is_folder = fs::is_directory(fs::symlink_status(part_, error));
  const bool is_new = is_folder && fs::is_empty(part_, error);
  if (error == std::errc::no_such_file_or_directory) return FileDescriptor();
  if (error) return io_error(part_, "cannot look at it", error.value());
  if (is_folder) {
    const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | (is_new ? O_CREAT : 0);
    FileDescriptor mark(::open(path.c_str(), flags, 0666));  // NOLINT: variadic
    if (mark.is_open()) return mark;
    if (errno != ENOENT) return io_error(path, "cannot open", errno);
    if (is_new || !fs::exists(part_, error)) return FileDescriptor();
  }
  return Error{ErrorCode::kUsage,
               "expected a folder that an earlier call left, found another one; take it away, or "
               "write elsewhere",
               part_.string()};
}

// Who ends in between renames the folder: what is locked then is in the finished one.
Result<void> StagedFolder::lock() {
  for (;;) {
    TERN_TRY(make_folder(part_));
    TERN_ASSIGN(mark_, open_mark());
    if (!mark_.is_open()) continue;
    if (::flock(mark_.get(), LOCK_EX | LOCK_NB) != 0) {
      return Error{ErrorCode::kUsage, "another transcoding is writing this folder; wait for it",
                   part_.string()};
    }
    struct stat locked {};
    struct stat named {};
    if (::fstat(mark_.get(), &locked) == 0 && ::stat((part_ / kMark).c_str(), &named) == 0 &&
        is_same(locked, named)) {
      return {};
    }
  }
}

// What is to go, folders before what is in them. All is looked at before anything goes.
Result<std::vector<fs::path>> StagedFolder::leftovers() const {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::recursive_directory_iterator it(part_, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().lexically_relative(part_).string();
    const fs::file_type type = it->symlink_status(error).type();
    const bool is_file = type == fs::file_type::regular;
    if (is_file && is_one_of(kKept, name)) continue;
    const bool is_subfolder = type == fs::file_type::directory && name == kSubfolder;
    if (!is_subfolder && !(is_file && is_one_of(kWritten, name))) {
      return Error{ErrorCode::kUsage,
                   "expected what an earlier call left here, found " + format::in_quotes(name) +
                       "; take it away",
                   part_.string()};
    }
    found.push_back(it->path());
  }
  if (error) return io_error(part_, "cannot list the folder", error.value());
  return found;
}

Result<void> StagedFolder::clear() const {
  TERN_ASSIGN(std::vector<fs::path> paths, leftovers());
  std::ranges::reverse(paths);
  for (const fs::path& path : paths) {
    std::error_code error;
    if (!fs::remove(path, error) && error) return io_error(path, "cannot remove", error.value());
  }
  return {};
}

// That of the folder which it replaces, from the beginning: who may not look into that may not look
// into this. Its owner has to write.
Result<void> StagedFolder::take_mode() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) return {};
  if (::chmod(part_.c_str(), (status.st_mode & 07777U) | S_IRWXU) == 0) return {};
  return io_error(part_, "cannot set its mode", errno);
}

Result<void> StagedFolder::write(const std::string& name, std::string_view text) const {
  const fs::path path = part_ / name;
  TERN_TRY(make_folder(path.parent_path()));
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file.is_open()) return io_error(path, "cannot open", errno);
  TERN_TRY(write_all(file.get(), std::as_bytes(std::span(text)), path));
  if (::fsync(file.get()) != 0) return io_error(path, "cannot sync", errno);
  if (const int failed = file.close(); failed != 0) return io_error(path, "cannot close", failed);
  return path.parent_path() == part_ ? Result<void>() : sync_folder(path.parent_path());
}

Result<void> StagedFolder::commit() const {
  TERN_TRY(sync_folder(part_));
  // Onto an empty folder, too; one that is not empty stays.
  if (std::rename(part_.c_str(), path_.c_str()) != 0) {
    return io_error(path_, "cannot rename the finished folder", errno);
  }
  // Only now: a folder that is still in the making keeps its mark, whatever ends the process.
  const fs::path mark = path_ / kMark;
  if (::unlink(mark.c_str()) != 0) return io_error(mark, "cannot remove", errno);
  TERN_TRY(sync_folder(path_));
  return sync_folder(path_.parent_path());
}

}  // namespace tern::convert
