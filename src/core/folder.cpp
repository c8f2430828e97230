#include "core/folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/file_descriptor.h"
#include "core/file_identity.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

Result<FileIdentity> identity_of_file(int fd, const fs::path& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return io_error(path, "cannot ask for its size", errno);
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kIo, "expected a regular file", path.string()};
  }
  return identity_of(status);
}

class LocalFile final : public FileSource {
 public:
  LocalFile(fs::path path, FileDescriptor fd, const FileIdentity& identity)
      : path_(std::move(path)), fd_(std::move(fd)), identity_(identity) {}

  std::uint64_t size() const override { return identity_.size; }
  std::string identity() const override {
    return fs::absolute(path_).string() + " " + std::to_string(identity_.inode) + " " +
           std::to_string(identity_.size) + " " + std::to_string(identity_.modified) + " " +
           std::to_string(identity_.changed);
  }
  std::string expected_sha256() const override { return ""; }

  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    return read_all_at(fd_.get(), offset, bytes, path_);
  }
  Result<void> prepare(std::uint64_t, std::uint64_t) const override { return {}; }
  Result<void> check_unchanged() const override {
    TERN_ASSIGN(const FileIdentity now, identity_of_file(fd_.get(), path_));
    if (now.size == identity_.size && now.modified == identity_.modified &&
        now.changed == identity_.changed) {
      return {};
    }
    return Error{ErrorCode::kIo, "the file changed while it was read", path_.string()};
  }

 private:
  fs::path path_;
  FileDescriptor fd_;
  FileIdentity identity_;
};

class LocalFolder final : public Folder {
 public:
  explicit LocalFolder(fs::path path) : path_(std::move(path)) {}

  std::string name() const override {
    std::error_code ignored;
    return fs::weakly_canonical(path_, ignored).filename().string();
  }
  std::string where(std::string_view file) const override {
    return file.empty() ? path_.string() : (path_ / file).string();
  }
  bool has(std::string_view file) const override {
    std::error_code ignored;
    return fs::exists(path_ / file, ignored);
  }
  std::vector<std::string> files() const override {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(path_, error), end; !error && it != end; it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }
  Result<std::unique_ptr<FileSource>> open(std::string_view file) const override {
    return open_file_source(path_ / file);
  }

 private:
  fs::path path_;
};

Result<std::string> read_whole(const FileSource& source, std::string where, std::size_t most) {
  if (source.size() > most) {
    return Error{ErrorCode::kUnsupported,
                 "expected at most " + std::to_string(most) + " bytes, found " +
                     std::to_string(source.size()),
                 std::move(where)};
  }
  std::string text(source.size(), '\0');
  TERN_TRY(source.read(0, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace

Result<std::unique_ptr<Folder>> open_folder(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    return std::unique_ptr<Folder>(std::make_unique<LocalFolder>(path));
  }
  return Error{ErrorCode::kIo, "expected a folder", path.string()};
}

Result<std::unique_ptr<FileSource>> open_file_source(const fs::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open()) return io_error(path, "cannot open", errno);
  TERN_ASSIGN(const FileIdentity identity, identity_of_file(fd.get(), path));
  return std::unique_ptr<FileSource>(std::make_unique<LocalFile>(path, std::move(fd), identity));
}

Result<std::string> read_text(const Folder& folder, std::string_view file, std::size_t most) {
  TERN_ASSIGN(const auto source, folder.open(file));
  return read_whole(*source, folder.where(file), most);
}

Result<std::string> read_text(const fs::path& file, std::size_t most) {
  TERN_ASSIGN(const auto source, open_file_source(file));
  return read_whole(*source, file.string(), most);
}

}  // namespace tern
