// Options whose values are names.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace tern::cli {

// Takes a name of the map and nothing else, and says so where it is another.
template <typename Value>
CLI::Validator one_of(const std::map<std::string, Value>& names) {
  CLI::Validator validator("");
  validator.operation([names](std::string& text) -> std::string {
    if (const auto found = names.find(text); found != names.end()) {
      text = std::to_string(static_cast<int>(found->second));  // as which enumerations are read
      return "";
    }
    std::string known;
    for (const auto& [name, value] : names) known += (known.empty() ? "" : ", ") + name;
    return "expected one of " + known + ", found " + text;
  });
  return validator;
}

}  // namespace tern::cli
