// How the GGUF reader words an error: what is wrong, then the offset in the file.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "core/result.h"

namespace tern::format {

template <typename... Args>
Error malformed(std::uint64_t offset, fmt::format_string<Args...> text, Args&&... args) {
  return Error{
      ErrorCode::kMalformed,
      fmt::format(text, std::forward<Args>(args)...) + fmt::format(" (at offset {})", offset), ""};
}

template <typename... Args>
Error unsupported(std::uint64_t offset, fmt::format_string<Args...> text, Args&&... args) {
  Error error = malformed(offset, text, std::forward<Args>(args)...);
  error.code = ErrorCode::kUnsupported;
  return error;
}

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace tern::format
