// Safetensors files and indexes that must be refused, one or more for each check, and what the
// refusal must say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern::test {

// The length, the header and `data` bytes of zeros.
inline std::vector<std::byte> safetensors(std::string_view header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::vector<std::byte> bytes(8 + header.size() + data);
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

struct MalformedSafetensors {
  std::string name;      // letters and digits
  std::string fragment;  // in the message of this file and of no other
  std::vector<std::byte> bytes;
  ErrorCode code = ErrorCode::kMalformed;
};

inline void PrintTo(const MalformedSafetensors& file, std::ostream* out) { *out << file.name; }

std::vector<MalformedSafetensors> malformed_safetensors_files();

}  // namespace tern::test
