// Walks over borrowed bytes, front to back. Nothing is read before it is known to be there: each
// read names what it is reading, and a read past the end is an error that says so.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "core/result.h"

namespace tern::format {

static_assert(std::endian::native == std::endian::little,
              "GGUF is little endian; a big-endian machine would need swaps in ByteReader");

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::uint64_t offset() const { return offset_; }
  std::uint64_t remaining() const { return bytes_.size() - offset_; }

  // The next `count` bytes. `what` completes "the file ends inside ...".
  Result<std::span<const std::byte>> take(std::uint64_t count, std::string_view what);

  template <typename T>
  Result<T> read(std::string_view what) {
    TERN_ASSIGN(const auto bytes, take(sizeof(T), what));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t offset_ = 0;
};

}  // namespace tern::format
