// Where a file may be put by renaming another one: it takes the place of what is there.
#pragma once

#include <filesystem>

#include "core/result.h"

namespace tern {

// Errors: kUsage where something stands at the path that is no regular file (a folder, or a device
// such as /dev/null, which would be gone then), and for a path that can only be a folder's.
Result<void> check_file_place(const std::filesystem::path& path);

}  // namespace tern
