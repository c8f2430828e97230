// One safetensors file: eight bytes with the length of a JSON header, the header, the tensors'
// bytes end to end. Tensors are read by offset and never mapped, so that memory stays as small as
// the reader's buffer, and a file that shrinks meanwhile is an error instead of a signal.
//
// Immutable once opened; any number of threads may read it. Move-only.
// Source: https://github.com/huggingface/safetensors, README, "Format", and its checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_descriptor.h"
#include "core/mapped_file.h"
#include "core/result.h"

namespace tern::format {

// Those that checkpoints of language models hold. Others are refused by name.
enum class SafetensorsType : std::uint8_t {
  kBool,
  kU8,
  kI8,
  kI16,
  kF16,
  kBF16,
  kI32,
  kF32,
  kI64,
  kF64
};

std::string_view name(SafetensorsType type);  // "BF16", as in the file
std::uint64_t element_bytes(SafetensorsType type);

struct SafetensorsTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::kF32;
  std::vector<std::uint64_t> shape;  // the slowest dimension first; empty for a single number
  std::uint64_t offset = 0;          // in the file
  std::uint64_t bytes = 0;

  std::uint64_t elements() const { return bytes / element_bytes(type); }
  std::string shape_text() const;  // "[2560, 6912]"
};

// The header's bytes behind the eight of its length, at most; that of the reference.
inline constexpr std::uint64_t kMostSafetensorsHeader = 100'000'000;

// The length of the header, from the first bytes of a file of `file_bytes`. Errors: kMalformed,
// with `source` as their context, as for all functions here.
Result<std::uint64_t> safetensors_header_bytes(std::span<const std::byte> first,
                                               std::uint64_t file_bytes, const std::string& source);

// The tensors of a header in the order of their bytes. `data_begin` is where these begin in a file
// of `file_bytes`. Refused are headers that are no such JSON, names or members twice, types, shapes
// and ranges that contradict each other, and bytes that belong to no tensor or to two.
Result<std::vector<SafetensorsTensor>> parse_safetensors_header(std::string_view header,
                                                                std::uint64_t data_begin,
                                                                std::uint64_t file_bytes,
                                                                const std::string& source);

class SafetensorsFile {
 public:
  // Errors: kIo, and those of the functions above.
  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const FileIdentity& identity() const { return identity_; }
  // As the system knows the file now.
  Result<FileIdentity> identity_now() const;
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }

  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  SafetensorsFile(std::filesystem::path path, FileDescriptor fd, const FileIdentity& identity)
      : path_(std::move(path)), fd_(std::move(fd)), identity_(identity) {}

  std::filesystem::path path_;
  FileDescriptor fd_;
  FileIdentity identity_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace tern::format
