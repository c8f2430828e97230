// Whether a file's bytes are in memory already: the difference between a cold and a warm load.
#pragma once

#include <filesystem>

#include "core/result.h"

namespace tern::diagnose {

// Asks the kernel to forget the file's cached bytes, after writing out what is not on the disk yet.
// The kernel may keep some, and keeps those that any process has mapped: ask resident_share().
// Errors: kIo.
Result<void> drop_from_page_cache(const std::filesystem::path& path);

// The share of the file's pages that are in memory, 0 to 1. Errors: kIo.
Result<double> resident_share(const std::filesystem::path& path);

}  // namespace tern::diagnose
