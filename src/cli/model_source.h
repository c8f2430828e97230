// What `-m` names: a file, a name of `tern list`, or hf://org/repo[@revision][/file].
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "hub/hub.h"

namespace tern::cli {

// The reference that a name or an address stands for; no value: it is a path. A file that is there
// goes before a name. Errors: those of parse_model_ref and open_aliases.
Result<std::optional<hub::ModelRef>> model_ref(const std::string& name);

// Brings files with a progress line. Errors: those of Hub::pull.
Result<hub::Pulled> pull_files(const hub::Hub& hub, const hub::RemoteRevision& revision,
                               const std::vector<hub::RemoteEntry>& wanted);

// The file of a reference that the cache has. No value: the server must be asked. Errors: kUsage
// where there is no place for a cache.
Result<std::optional<std::string>> cached_model(const hub::ModelRef& ref);

// The file to open: one on this machine as it is, one of a hub from the cache, and where it is not
// there, brought. Empty stays empty: the embedded model. Call before anything else watches for
// Ctrl-C, which ends the process; what was brought by then stays. Errors: those of the hub.
Result<std::string> model_path(const std::string& name);

// The file that a reference means; one without a file means the only GGUF file. Errors: kUsage.
Result<hub::RemoteEntry> model_entry(const hub::RemoteRevision& revision);

}  // namespace tern::cli
