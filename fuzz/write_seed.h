// A file of a fuzzer's first corpus.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>

namespace tern::fuzz {

// Throws where it cannot be written.
inline void write(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary);
  out.exceptions(std::ios::failbit | std::ios::badbit);
  for (const std::byte byte : bytes) out.put(static_cast<char>(byte));
}

}  // namespace tern::fuzz
