// The range of an option whose value is a real number.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

namespace tern::cli {

// CLI::Range refuses what is below or above, and takes NaN, which is neither.
inline CLI::Validator in_range(double least, double most) {
  CLI::Validator validator("");
  validator.operation([least, most](std::string& text) -> std::string {
    double value = 0.0;
    if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most) return "";
    return fmt::format("expected {} to {}, found {}", least, most, text);
  });
  return validator;
}

}  // namespace tern::cli
