// Options whose values are names.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace tern::cli {

// A check of an option whose value names something, such as a file. An empty one does not: most
// often it is a variable of a shell that was not set.
inline std::string not_empty(const std::string& value) {
  return value.empty() ? "expected a value, found an empty one" : "";
}

// An option that takes a name of the map and nothing else, and says so where it is another. What
// the option keeps is the name: a file of settings reads it back.
template <typename Target, typename Value>
CLI::Option* add_one_of(CLI::App& parser, const std::string& flag, Target& target,
                        const std::map<std::string, Value>& names, const std::string& about) {
  CLI::Validator validator("");
  validator.operation([names](std::string& text) -> std::string {
    if (names.contains(text)) return "";
    std::string known;
    for (const auto& [name, value] : names) known += (known.empty() ? "" : ", ") + name;
    return "expected one of " + known + ", found " + text;
  });
  return parser
      .add_option_function<std::string>(
          flag, [&target, names](const std::string& name) { target = names.at(name); }, about)
      ->check(std::move(validator));
}

}  // namespace tern::cli
