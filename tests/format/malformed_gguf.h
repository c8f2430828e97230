// Files that the reader must refuse, one or more for each of its checks, and what it must say.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "core/result.h"

namespace tern::test {

struct MalformedGguf {
  std::string name;      // letters and digits
  std::string fragment;  // in the message of this file and of no other
  std::vector<std::byte> bytes;
  ErrorCode code = ErrorCode::kMalformed;
};

// What GoogleTest prints as the parameter of a test.
inline void PrintTo(const MalformedGguf& file, std::ostream* out) { *out << file.name; }

std::vector<MalformedGguf> malformed_header_files();
std::vector<MalformedGguf> malformed_metadata_files();
std::vector<MalformedGguf> malformed_tensor_files();

// All of them.
std::vector<MalformedGguf> malformed_gguf_files();

}  // namespace tern::test
