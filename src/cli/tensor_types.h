// The types of tensors by name, as options of commands that write models take them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "format/tensor.h"

namespace tern::cli {

// --type: of the ternary matrices.
CLI::Option* add_ternary_type_option(CLI::App& parser, std::string& type);
// --head: of embedding and output.
CLI::Option* add_head_type_option(CLI::App& parser, std::string& type);

// Of a name that one of these options has checked.
format::TensorType type_named(const std::string& name);

}  // namespace tern::cli
