// `tern serve` as it runs: from the load of the model to the last answer.
#pragma once

#include <string>

#include "cli/serve_config.h"
#include "core/result.h"

namespace tern::cli {

// Serves until a signal says that it is to end. `file` and `command_line` are what `config` was
// made of: they are read again at SIGHUP. Errors: those of load_runtime, make_engine and
// HttpServer::start; kIo for a model file that is changed meanwhile.
Result<void> serve(ServeConfig config, const GivenOptions& command_line, const std::string& file);

// Whether it would start, and a server would take `file` anew: keys, certificates, log, tier, the
// head of the model file, its context and the chat template. Weights are not loaded, and addresses
// not bound: another server may be using them, whose settings these are to become. Errors: those of
// serve().
Result<void> check_start(const ServeOptions& options, const std::string& file);

}  // namespace tern::cli
