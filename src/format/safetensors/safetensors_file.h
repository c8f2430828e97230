// One safetensors file: eight bytes with the length of a JSON header, the header, the tensors'
// bytes end to end. Tensors are read by offset and never mapped.
//
// Immutable once opened; any number of threads may read it. Move-only.
// Source: https://github.com/huggingface/safetensors, README, "Format", and its checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/folder.h"
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
  // Errors: those of Folder::open and of the functions above.
  static Result<SafetensorsFile> open(const Folder& folder, const std::string& name);

  const std::string& name() const { return name_; }    // in its folder
  const std::string& where() const { return where_; }  // for messages
  const FileSource& source() const { return *source_; }
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }

  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const {
    return source_->read(offset, bytes);
  }

 private:
  SafetensorsFile(std::string name, std::string where, std::unique_ptr<FileSource> source)
      : name_(std::move(name)), where_(std::move(where)), source_(std::move(source)) {}

  std::string name_;
  std::string where_;
  std::unique_ptr<FileSource> source_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace tern::format
