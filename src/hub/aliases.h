// Short names of models: some that Tern knows, and those that a user gave, in a file of JSON:
// {"NAME": "hf://org/repo@revision/file"}. The user's go first.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "core/result.h"
#include "hub/model_ref.h"

namespace tern::hub {

using AliasMap = std::map<std::string, ModelRef, std::less<>>;

// Letters, digits, '-', '_', '.' and ':', at most 64, and not ".gguf" at the end, which is a file.
bool is_alias(std::string_view name);

// What Tern knows.
const AliasMap& known_aliases();

class Aliases {
 public:
  // A file that is missing holds none. Errors: kIo, kMalformed.
  static Result<Aliases> open(std::filesystem::path file);

  // The user's and those that Tern knows.
  const AliasMap& all() const { return all_; }
  const ModelRef* find(std::string_view name) const;

  // Write the file, for its owner alone. Errors: kUsage for what is no name; kIo.
  Result<void> set(const std::string& name, const ModelRef& ref);
  // False: the user has no such name.
  Result<bool> remove(std::string_view name);

 private:
  explicit Aliases(std::filesystem::path file) : file_(std::move(file)) {}
  Result<void> write();
  void merge();

  std::filesystem::path file_;
  AliasMap own_;
  AliasMap all_;
};

}  // namespace tern::hub
