#include "convert/staged_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "core/file_descriptor.h"
#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

namespace fs = std::filesystem;

// All that a folder in the making may hold, beside the weights' part and journal.
constexpr std::array kWritten{
    "config.json",    "generation_config.json", "modules.json",          "1_Pooling",
    "tokenizer.json", "tokenizer.model",        "tokenizer_config.json", "model.safetensors"};
constexpr std::array kInTheMaking{"model.safetensors.part", "model.safetensors.journal"};

template <typename Names>
bool is_one_of(const Names& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
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

}  // namespace

StagedFolder::StagedFolder(fs::path path)
    : path_(std::move(path)), part_(path_.string() + ".part") {}

Result<StagedFolder> StagedFolder::open(const fs::path& path) {
  if (path.empty()) return Error{ErrorCode::kUsage, "expected the name of a folder", "output"};
  std::error_code error;
  const fs::path plain = path.has_filename() ? path : path.parent_path();  // "folder/"
  const bool there = fs::exists(fs::symlink_status(plain, error));
  const bool empty =
      fs::is_directory(fs::symlink_status(plain, error)) && fs::is_empty(plain, error);
  if (error && there) return io_error(plain, "cannot look at it", error.value());
  if (there && !empty) {
    return Error{ErrorCode::kUsage,
                 "expected a new or an empty folder to write, found something; write elsewhere, or "
                 "remove it",
                 plain.string()};
  }
  StagedFolder folder(plain);
  TERN_TRY(make_folder(folder.part_));
  return folder;
}

Result<void> StagedFolder::clear() const {
  std::error_code error;
  for (fs::directory_iterator it(part_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (is_one_of(kInTheMaking, name)) continue;
    if (!is_one_of(kWritten, name)) {
      return Error{ErrorCode::kUsage,
                   "expected what an earlier call left here, found " + format::in_quotes(name) +
                       "; take it away",
                   part_.string()};
    }
    fs::remove_all(it->path(), error);
  }
  return error ? io_error(part_, "cannot clear the folder", error.value()) : Result<void>();
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
  return sync_folder(path_.has_parent_path() ? path_.parent_path() : fs::path("."));
}

}  // namespace tern::convert
