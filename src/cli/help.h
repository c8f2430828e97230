// How `tern --help` looks: CLI11's layout without what only its authors need to know.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

namespace tern::cli {

// Give it to the parser before the subcommands, which inherit it.
std::shared_ptr<CLI::FormatterBase> help_formatter();

}  // namespace tern::cli
