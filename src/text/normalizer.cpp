#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "text/utf8.h"

namespace tern::text {
namespace {

constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
// No code point has more in its canonical decomposition.
constexpr std::size_t kLongest = 18;

int combining_class(utf8proc_int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

void append_decomposed(std::vector<utf8proc_int32_t>& out, char32_t code_point) {
  utf8proc_int32_t parts[kLongest];
  int boundary = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts,
                                             kLongest, kOptions, &boundary);
  out.insert(out.end(), parts, parts + count);
}

// Marks into their canonical order. The library's own sorting takes quadratic time on long runs.
void reorder(std::vector<utf8proc_int32_t>& code_points) {
  const auto by_class = [](utf8proc_int32_t a, utf8proc_int32_t b) {
    return combining_class(a) < combining_class(b);
  };
  const auto is_mark = [](utf8proc_int32_t c) { return combining_class(c) != 0; };
  for (auto at = code_points.begin(); at != code_points.end();) {
    const auto begin = std::find_if(at, code_points.end(), is_mark);
    at = std::find_if_not(begin, code_points.end(), is_mark);
    std::stable_sort(begin, at, by_class);
  }
}

}  // namespace

std::string to_nfc(std::string_view text) {
  std::string out;
  std::vector<utf8proc_int32_t> run;  // of valid code points
  const auto flush = [&] {
    reorder(run);
    const auto length =
        utf8proc_normalize_utf32(run.data(), static_cast<utf8proc_ssize_t>(run.size()), kOptions);
    for (utf8proc_ssize_t i = 0; i < length; ++i) {
      append_utf8(out, static_cast<char32_t>(run[static_cast<std::size_t>(i)]));
    }
    run.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = next_utf8(text, at);
    if (sequence.status == Utf8Status::kValid) {
      append_decomposed(run, sequence.code_point);
    } else {
      flush();
      out += text.substr(at, sequence.length);
    }
    at += sequence.length;
  }
  flush();
  return out;
}

}  // namespace tern::text
