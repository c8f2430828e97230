#include "cli/model_watch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "core/file_identity.h"

namespace tern::cli {
namespace {

// Of what was opened, not of its path: a file that is renamed over it leaves it as it is.
std::optional<FileIdentity> look_at(const FileDescriptor& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return std::nullopt;
  return identity_of(info);
}

}  // namespace

Result<ModelWatch> ModelWatch::open(const std::string& path) {
  ModelWatch watch;
  if (path.empty()) return watch;
  watch.path_ = path;
  watch.file_ =
      FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // NOLINT: variadic
  if (!watch.file_.is_open()) return io_error(path, "cannot open the file", errno);
  const auto now = look_at(watch.file_);
  if (!now) return io_error(path, "cannot look at the file", errno);
  watch.then_ = *now;
  return watch;
}

// Its time of change as an inode says nothing: that moves with its names and owners, too.
Result<void> ModelWatch::look() const {
  if (path_.empty()) return {};
  const auto now = look_at(file_);
  if (now && now->size == then_.size && now->modified == then_.modified) return {};
  return Error{ErrorCode::kIo,
               "the model file was changed while it was in use, and answers from it may be wrong: "
               "start again, and replace a model by renaming a new file over it (mv), never by "
               "writing into it",
               path_};
}

}  // namespace tern::cli
