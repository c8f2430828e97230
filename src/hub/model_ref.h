// What `hf://org/repo[@revision][/file]` names: a repository of models, a revision of it, a file or
// folder in it.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::hub {

struct ModelRef {
  std::string repo;               // "microsoft/bitnet-b1.58-2B-4T-gguf"
  std::string revision = "main";  // a branch, a tag, a commit, or refs/pr/N
  std::string file;               // "folder/model.gguf"; empty: all of the repository

  bool operator==(const ModelRef&) const = default;

  // "hf://org/repo@revision/file", without "@main".
  std::string to_string() const;
};

inline constexpr std::string_view kHfScheme = "hf://";

// A '/' in a revision is written %2F, but for refs/pr/N and refs/convert/NAME. Errors: kUsage.
Result<ModelRef> parse_model_ref(std::string_view text);

// A revision as one part of a path: '/' becomes %2F, and other bytes as escape_path() has them.
std::string escape_revision(std::string_view revision);

// Whether a name from elsewhere may become a path below a folder: relative, its parts neither empty
// nor . nor .., at most 255 bytes each and 1024 in all, without backslash or control character.
bool is_safe_path(std::string_view path);

// 40 lower-case hexadecimal digits.
bool is_commit(std::string_view text);

}  // namespace tern::hub
