// The file of API keys: a table for each, by its name, with its hash and its limits.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "serve/api_keys.h"

namespace tern::cli {

// Errors: those of read_toml; kUsage for a file that anybody may read or write, and, with line and
// column, for what is no key.
Result<std::vector<serve::ApiKey>> read_key_file(const std::string& path);

// A table of such a file for a key. Errors: kUsage for a name that cannot be one.
Result<std::string> key_table(const std::string& name, const std::string& key);

}  // namespace tern::cli
