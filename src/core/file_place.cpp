#include "core/file_place.h"

#include <sys/stat.h>

#include <string>

namespace tern {

Result<void> check_file_place(const std::filesystem::path& path) {
  if (!path.has_filename()) {
    return Error{ErrorCode::kUsage, "expected a file to write, found the name of a folder",
                 path.string()};
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return {};
  return Error{ErrorCode::kUsage,
               std::string("expected a file to write, found a ") +
                   (S_ISDIR(status.st_mode) ? "folder" : "device, pipe or socket"),
               path.string()};
}

}  // namespace tern
