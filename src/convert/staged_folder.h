// The folder of a checkpoint while it is made: FOLDER.part, which becomes FOLDER when all is there
// and on the disk. What an ended process left in it is gone on with.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::convert {

class StagedFolder {
 public:
  // Errors: kUsage where there is something at `path` that is no empty folder; kIo.
  static Result<StagedFolder> open(const std::filesystem::path& path);

  // Where the weights go, by an OutputFile. It is opened first: its lock is that of the folder.
  std::filesystem::path weights() const { return part_ / "model.safetensors"; }
  // Takes away what an earlier call wrote but for weights in the making. Errors: kUsage for what
  // is not Tern's.
  Result<void> clear() const;
  // A file, also in a folder in it, synced.
  Result<void> write(const std::string& name, std::string_view text) const;
  // Puts the folder at its path, for good.
  Result<void> commit() const;

 private:
  explicit StagedFolder(std::filesystem::path path);

  std::filesystem::path path_;
  std::filesystem::path part_;
};

}  // namespace tern::convert
