// `tern serve` as it runs: from the load of the model to the last answer.
#pragma once

#include <string>

#include "cli/serve_config.h"
#include "core/result.h"

namespace tern::cli {

// Serves until a signal says that it is to end. `file` and `command_line` are what `config` was
// made of: they are read again at SIGHUP. Errors: those of load_runtime, make_engine and
// HttpServer::start.
Result<void> serve(ServeConfig config, const GivenOptions& command_line, const std::string& file);

}  // namespace tern::cli
