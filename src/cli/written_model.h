// What the commands that write models share: types of tensors by name, and what they say at the
// end.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "format/tensor.h"

namespace tern::cli {

// --type: of the ternary matrices.
CLI::Option* add_ternary_type_option(CLI::App& parser, std::string& type);
// The same or kPacked: the uint8 of Hugging Face, in the folder of a checkpoint.
inline constexpr const char* kPacked = "hf_packed";
CLI::Option* add_any_type_option(CLI::App& parser, std::string& type);
// --head: of embedding and output.
CLI::Option* add_head_type_option(CLI::App& parser, std::string& type);

// Of a name that one of these options has checked.
format::TensorType type_named(const std::string& name);

// Lines on tensors that an earlier call had finished and on values of embedding and head that f16
// cannot hold; empty where there are none.
std::string resumed_and_rounded(std::uint64_t tensors, std::uint64_t values);

}  // namespace tern::cli
