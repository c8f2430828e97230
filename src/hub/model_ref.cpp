#include "hub/model_ref.h"

#include <algorithm>
#include <optional>

#include "hub/url.h"

namespace tern::hub {
namespace {

constexpr std::size_t kMostName = 96;  // of organisation and repository each
constexpr std::size_t kMostPart = 255;
constexpr std::size_t kMostPath = 1024;
constexpr std::string_view kRefs = "refs/";

bool is_control(char c) {
  const auto value = static_cast<unsigned char>(c);
  return value < 0x20 || value == 0x7F;
}

// The hub's own rule for names; by it no name can be mistaken in "models--org--repo".
bool is_name(std::string_view name) {
  const bool plain = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  const auto is_edge = [](char c) { return c == '-' || c == '.'; };
  return plain && !name.empty() && name.size() <= kMostName && !is_edge(name.front()) &&
         !is_edge(name.back()) && name.find("--") == std::string_view::npos &&
         name.find("..") == std::string_view::npos;
}

// What ends at the next '/' of `rest`, which then begins behind it.
std::string_view take_part(std::string_view& rest) {
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view part = rest.substr(0, slash);
  rest.remove_prefix(std::min(slash + 1, rest.size()));
  return part;
}

std::string take_revision(std::string_view first, std::string_view& rest) {
  if (first != "refs") return unescape(first);
  std::string revision(first);
  for (int i = 0; i < 2; ++i) revision.append("/").append(unescape(take_part(rest)));
  return revision;
}

Error bad_ref(std::string_view text, std::string message) {
  return Error{ErrorCode::kUsage, std::move(message), std::string(text)};
}

}  // namespace

bool is_safe_path(std::string_view path) {
  if (path.size() > kMostPath) return false;
  if (std::ranges::any_of(path, [](char c) { return is_control(c) || c == '\\'; })) return false;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == ".." || part.size() > kMostPart) return false;
    at = end + 1;
  }
  return true;
}

bool is_commit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string escape_revision(std::string_view revision) {
  std::string text;
  for (const char c : revision) text += c == '/' ? "%2F" : escape_path({&c, 1});
  return text;
}

std::string ModelRef::to_string() const {
  std::string text = std::string(kHfScheme) + repo;
  if (revision.starts_with(kRefs)) {
    std::string_view name = std::string_view(revision).substr(kRefs.size());  // pr/NAME
    const std::string_view kind = take_part(name);
    text.append("@").append(kRefs).append(escape_revision(kind));
    text.append("/").append(escape_revision(name));
  } else if (revision != "main") {
    text.append("@").append(escape_revision(revision));
  }
  if (!file.empty()) text.append("/").append(file);
  return text;
}

Result<ModelRef> parse_model_ref(std::string_view text) {
  std::string_view rest = text;
  if (!rest.starts_with(kHfScheme)) return bad_ref(text, "expected hf://org/repo");
  rest.remove_prefix(kHfScheme.size());
  ModelRef ref;
  const std::string_view org = take_part(rest);
  std::string_view repo = take_part(rest);
  std::optional<std::string_view> revision;
  if (const std::size_t at = repo.find('@'); at != std::string_view::npos) {
    revision = repo.substr(at + 1);
    repo = repo.substr(0, at);
  }
  if (!is_name(org) || !is_name(repo)) {
    return bad_ref(text,
                   "expected hf://org/repo[@revision][/file], with letters, digits, '-', '_' and "
                   "'.' in organisation and repository");
  }
  ref.repo = std::string(org) + "/" + std::string(repo);
  if (revision) ref.revision = take_revision(*revision, rest);
  const bool short_refs =
      ref.revision == "refs" || (ref.revision.starts_with(kRefs) &&
                                 ref.revision.find('/', kRefs.size()) == std::string::npos);
  if (!is_safe_path(ref.revision) || ref.revision.find(' ') != std::string::npos || short_refs) {
    return bad_ref(text, "expected a branch, a tag or a commit behind '@'");
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  ref.file = rest;
  if (!ref.file.empty() && !is_safe_path(ref.file)) {
    return bad_ref(text, "expected the path of a file in the repository, without . and ..");
  }
  return ref;
}

}  // namespace tern::hub
