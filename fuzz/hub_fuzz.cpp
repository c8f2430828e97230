// Any bytes as what a hub's server says: a page of its listing, a commit, headers, and a reference
// that a user types. What is accepted is safe to use as a path, of a possible size and hash, and
// what is written again is read as the same.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "hub/listing.h"
#include "hub/model_ref.h"
#include "hub/url.h"

namespace {

using namespace tern::hub;
using tern::fuzz::Input;
using tern::fuzz::require;

// By another road than is_safe_path: no part of it leads upwards or anywhere else.
void require_inside(std::string_view path) {
  require(!path.empty() && path.front() != '/' && path.back() != '/');
  const std::string framed = "/" + std::string(path) + "/";
  for (const char* bad : {"//", "/./", "/../", "\\"}) {
    require(framed.find(bad) == std::string::npos);
  }
  require(std::ranges::none_of(path, [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
}

void check_listing(std::string_view text) {
  std::vector<RemoteEntry> files;
  if (!parse_tree_page(text, "fuzz", files)) return;
  for (const RemoteEntry& file : files) {
    require_inside(file.path);
    require(file.size <= kMostFileBytes);
    require(file.hash.size() == 40 || file.hash.size() == 64);
    require(file.hash.find_first_not_of("0123456789abcdef") == std::string::npos);
    require(unescape(escape_path(file.path)) == file.path);
  }
  if (!check_paths(files, "fuzz")) return;
  for (std::size_t i = 1; i < files.size(); ++i) require(files[i].path != files[0].path);
}

void check_reference(std::string_view text) {
  const auto ref = parse_model_ref(text);
  if (!ref) return;
  require_inside(ref->repo);
  require_inside(ref->revision);
  require(std::ranges::count(ref->repo, '/') == 1);
  if (!ref->file.empty()) require_inside(ref->file);
  const auto again = parse_model_ref(ref->to_string());
  require(again.ok() && *again == *ref);
}

void check_headers(std::string_view text) {
  if (const auto range = parse_content_range(text)) {
    require(range->begin < range->end && range->end <= range->total);
  }
  if (const auto page = next_page(text)) require(page->size() < text.size());
  require(etag_text(text).size() <= text.size());
  parse_retry_after(text);
  if (const auto to = follow("https://host/a/b", std::string(text))) {
    require(to->starts_with("http://") || to->starts_with("https://"));
    require(shown_url(*to).find('?') == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  const std::size_t kind = in.below(4);
  const std::string_view text = in.rest();
  if (kind == 0) check_listing(text);
  if (kind == 1) check_reference(text);
  if (kind == 2) check_headers(text);
  if (kind == 3) {
    if (const auto commit = parse_commit(text, "fuzz")) require(is_commit(*commit));
  }
  return 0;
}
