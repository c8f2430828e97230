// What a server may do wrong (tests/hub/hub_server.py does it), and how it has to end.
#pragma once

#include <array>
#include <ostream>

#include "core/result.h"

namespace tern::hub {

struct Fault {
  const char* name;
  const char* words;  // of the error, or of a notice; empty: neither
  ErrorCode code = ErrorCode::kIo;
};

inline void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

// The files arrive whole and right.
inline constexpr std::array kSurvived = std::to_array<Fault>({
    {"cut", "try 2 of 5"},
    {"small_cut", "try 2 of 5"},
    {"stall", "sent nothing for 1000 ms"},
    {"short_parts", "ended before the last byte"},
    {"length_longer", ""},
    {"length_shorter", "ended before the last byte"},
    {"no_ranges", "the server ignores ranges"},
    {"no_ranges_cut", "the server ignores ranges"},
    {"redirect_relative", ""},
    {"broken", "answers 500"},
    {"silent", "try 2 of 5"},
    {"busy", "answers 429"},
    {"busy_second", "in 1000 ms"},
    {"busy_date", "answers 503"},
    {"expired", "answers 403"},
    {"changed_once", "brought again from its beginning"},
    {"renamed", ""},
    {"api_cut", "try 2 of 5"},
    {"api_silent", "try 2 of 5"},
    {"paged", ""},
});

// An error of this class, in these words, and no file that is wrong.
inline constexpr std::array kRefused = std::to_array<Fault>({
    {"unauthorized", "answers 401: the token gives no access", ErrorCode::kUsage},
    {"gated", "answers 403: the token gives no access", ErrorCode::kUsage},
    {"file_gated", "model.gguf: the server answers 403", ErrorCode::kUsage},
    {"denied_elsewhere", "model.gguf: the server answers 403", ErrorCode::kUsage},
    {"no_repo", "answers 404: there is no such repository", ErrorCode::kUsage},
    {"gone", "answers 410", ErrorCode::kUsage},
    {"file_gone", "config.json: the server answers 404", ErrorCode::kUsage},
    {"teapot", "answers 418, which is no answer", ErrorCode::kIo},
    {"broken_always", "answers 502, which is no answer to this request; given up after 5 tries"},
    {"busy_always", "too many requests; try again later; given up after 5 tries"},
    {"busy_long", "asks to wait 100000 s, which is too long"},
    {"cut_always", "given up after 5 tries"},
    {"stall_always", "sent nothing for 1000 ms; given up after 5 tries"},
    {"no_http", "Received HTTP/0.9 when not allowed"},
    {"many_headers", "at most 256 headers", ErrorCode::kMalformed},
    {"html", "is this a hub?", ErrorCode::kMalformed},
    {"garbage_json", "expected JSON from the server", ErrorCode::kMalformed},
    {"deep_json", "expected JSON from the server", ErrorCode::kMalformed},
    {"key_twice", "expected JSON from the server", ErrorCode::kMalformed},
    {"not_a_list", "expected a list of files", ErrorCode::kMalformed},
    {"not_objects", "expected objects in the list", ErrorCode::kMalformed},
    {"bad_commit", "expected the commit of the revision", ErrorCode::kMalformed},
    {"type_unknown", "expected 'file' or 'directory'", ErrorCode::kMalformed},
    {"name_up", "has a file '../evil', which would lie outside", ErrorCode::kMalformed},
    {"name_up_inside", "has a file 'a/../../evil'", ErrorCode::kMalformed},
    {"name_absolute", "has a file '/etc/evil'", ErrorCode::kMalformed},
    {"name_control", "has a file 'a\x1b[2Jb'", ErrorCode::kMalformed},
    {"name_newline", "has a file 'a\nb'", ErrorCode::kMalformed},
    {"name_backslash", "has a file '..\\evil'", ErrorCode::kMalformed},
    {"name_empty", "has a file ''", ErrorCode::kMalformed},
    {"name_long", "xxx...'", ErrorCode::kMalformed},
    {"name_number", "expected a path of each file", ErrorCode::kMalformed},
    {"twice", "has 'config.json' twice", ErrorCode::kMalformed},
    {"file_and_folder", "has 'config.json' as a file and as a folder", ErrorCode::kMalformed},
    {"size_negative", "expected a size of 'extra.txt'", ErrorCode::kMalformed},
    {"size_huge", "expected a size of 'extra.txt'", ErrorCode::kMalformed},
    {"size_text", "expected a size of 'extra.txt'", ErrorCode::kMalformed},
    {"hash_path", "expected a hash of 'extra.txt' with 40", ErrorCode::kMalformed},
    {"hash_short", "expected a hash of 'extra.txt' with 64", ErrorCode::kMalformed},
    {"too_large", "the files need 8796093022"},
    {"huge_listing", "longer than 16777216 bytes", ErrorCode::kUnsupported},
    {"many_files", "at most 100000 files", ErrorCode::kUnsupported},
    {"endless_pages", "at most 256 pages", ErrorCode::kUnsupported},
    {"page_elsewhere", "goes on at another server", ErrorCode::kMalformed},
    {"longer", "expected a file of 300001 bytes, as listed, the server says 300000",
     ErrorCode::kMalformed},
    {"small_longer", "expected a file of 99 bytes, as listed", ErrorCode::kMalformed},
    {"wrong_hash", "have not the hash that the server lists", ErrorCode::kMalformed},
    {"small_wrong", "config.json: the bytes have not the hash", ErrorCode::kMalformed},
    {"wrong_total", "expected a file of 300000 bytes, as listed, the server says 300005",
     ErrorCode::kMalformed},
    {"wrong_place", "model.gguf: asked for the bytes", ErrorCode::kMalformed},
    {"range_missing", "does not say which", ErrorCode::kMalformed},
    {"range_nonsense", "does not say which", ErrorCode::kMalformed},
    {"not_satisfiable", "answers 416: the file is shorter there", ErrorCode::kMalformed},
    {"linked_other", "the file changed on the server since it was listed", ErrorCode::kIo},
    {"linked_size", "the server says 12", ErrorCode::kMalformed},
    {"changed_always", "the file changed on the server while it was read", ErrorCode::kIo},
    {"redirect_circle", "the redirects lead in a circle", ErrorCode::kMalformed},
    {"redirect_self", "the redirects lead in a circle", ErrorCode::kMalformed},
    {"redirect_many", "more than 8 redirects", ErrorCode::kMalformed},
    {"redirect_file", "leads away from http and https", ErrorCode::kMalformed},
    {"redirect_ftp", "leads away from http and https", ErrorCode::kMalformed},
    {"redirect_nowhere", "leads to what is no address", ErrorCode::kMalformed},
});

}  // namespace tern::hub
