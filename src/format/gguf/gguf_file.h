// Reads a GGUF file (versions 2 and 3, little endian). Every count, offset, alignment, type and
// string is checked before it is used; what is not understood is refused with its key or tensor
// named. The tensors borrow the file's bytes: the GgufFile must outlive them.
// Source: the GGUF specification in ggml's documentation (docs/gguf.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/mapped_file.h"
#include "core/result.h"
#include "format/tensor.h"

namespace tern::format {

// Integers are widened to 64 bits and floats to double; arrays hold one kind of scalar.
using GgufArray =
    std::variant<std::vector<std::int64_t>, std::vector<std::uint64_t>, std::vector<double>,
                 std::vector<bool>, std::vector<std::string_view>>;
using GgufValue =
    std::variant<std::int64_t, std::uint64_t, double, bool, std::string_view, GgufArray>;

// "unsigned integer", "array of strings": for messages and listings.
std::string_view type_name(const GgufValue& value);

class GgufFile {
 public:
  // Maps the file. Tilings of tl1 and tl2 that it does not say itself are those of
  // kernel_config.ini beside it, if there is one. Errors: kIo, kMalformed, kUnsupported.
  static Result<GgufFile> open(const std::filesystem::path& path);
  // Parses bytes that outlive the GgufFile; `source` names them in errors.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string source);

  const std::string& source() const { return source_; }
  std::uint32_t version() const { return version_; }
  std::uint64_t alignment() const { return alignment_; }
  std::span<const std::byte> bytes() const { return bytes_; }

  // Metadata in file order. nullptr where the key is missing.
  std::span<const std::string_view> keys() const { return keys_; }
  // The bytes of each key's entry, in the order of keys(): for who copies it as it is.
  std::span<const std::span<const std::byte>> entries() const { return entries_; }
  const GgufValue* find(std::string_view key) const;

  // Typed look-ups. Missing: kMalformed naming the key, or the fallback where there is one. A value
  // of another type or out of range: kMalformed naming key, expected and found type.
  Result<std::uint64_t> get_uint(std::string_view key) const;
  Result<double> get_float(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<std::uint64_t> get_uint_or(std::string_view key, std::uint64_t fallback) const;
  Result<double> get_float_or(std::string_view key, double fallback) const;
  Result<bool> get_bool_or(std::string_view key, bool fallback) const;
  Result<std::string_view> get_string_or(std::string_view key, std::string_view fallback) const;
  Result<std::span<const std::string_view>> get_strings(std::string_view key) const;

  // Tensors in file order. nullptr where the name is missing.
  std::span<const Tensor> tensors() const { return tensors_; }
  const Tensor* tensor(std::string_view name) const;

  // Of the file that open() mapped.
  std::optional<FileIdentity> identity() const {
    return mapping_ ? std::optional(mapping_->identity()) : std::nullopt;
  }

  // Takes the tensor's pages out of this process's memory, for a reader that has made its own copy.
  // They can still be read. Does nothing for bytes that were not mapped by open().
  void release(const Tensor& tensor) const { release(tensor.data); }
  void release(std::span<const std::byte> part) const {
    if (mapping_) mapping_->release(part);
  }

 private:
  friend class GgufParser;
  GgufFile() = default;
  Result<void> set_tilings(std::string_view kernel_config, const std::string& where);
  bool lacks_tilings() const;
  template <typename T>
  Result<T> get(std::string_view key, std::string_view expected) const;
  Error key_error(std::string_view key, std::string_view expected) const;

  std::unique_ptr<const MappedFile> mapping_;  // where the tensors find it, however this moves
  std::span<const std::byte> bytes_;
  std::string source_;
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 32;
  std::vector<std::string_view> keys_;
  std::vector<std::span<const std::byte>> entries_;
  std::unordered_map<std::string_view, GgufValue> values_;
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> tensor_index_;
};

}  // namespace tern::format
