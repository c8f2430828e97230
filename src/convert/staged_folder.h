// The folder of a checkpoint while it is made: FOLDER.part, which becomes FOLDER when all is there
// and on the disk. What an ended process left in it is gone on with. A mark in it says whose it is,
// and is locked for as long as a process is at work there.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_descriptor.h"
#include "core/result.h"

namespace tern::convert {

class StagedFolder {
 public:
  // Where a folder of this name will be: absolute, without links and dots. Errors: kUsage where
  // something is there that is no empty folder, or one that cannot be replaced (the current one, a
  // mount point); kIo.
  static Result<std::filesystem::path> find_place(const std::filesystem::path& path);

  // At such a place. What an earlier call wrote is cleared away but for weights in the making.
  // Errors: kUsage where another process is at work there or a folder is there by now, and where
  // FOLDER.part or a thing in it is not Tern's, of which nothing is touched; kIo.
  static Result<StagedFolder> open(const std::filesystem::path& place);

  // Where the weights go, by an OutputFile.
  std::filesystem::path weights() const { return part_ / "model.safetensors"; }
  // A file, also in a folder in it, synced.
  Result<void> write(const std::string& name, std::string_view text) const;
  // Puts the folder at its path, for good.
  Result<void> commit() const;

 private:
  explicit StagedFolder(std::filesystem::path path);

  Result<void> lock();
  void leave() const;
  Result<FileDescriptor> open_mark() const;
  Result<std::vector<std::filesystem::path>> leftovers() const;
  Result<void> clear() const;
  Result<void> take_mode() const;

  std::filesystem::path path_;
  std::filesystem::path part_;
  FileDescriptor mark_;
};

}  // namespace tern::convert
