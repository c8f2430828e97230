// Turns bytes into a GgufFile, or says what is wrong with them. Private to format/gguf.
//
// The checks stand in the order of the file: header, metadata, tensor entries, then the layout of
// the tensor data. No allocation is larger than what the file's own bytes and the limits below
// have vouched for.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "format/gguf/byte_reader.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf/gguf_types.h"

namespace tern::format {

// Far above every published model; a damaged count stops here before it costs memory.
inline constexpr std::uint64_t kGgufMaxTensors = 65536;
inline constexpr std::uint64_t kGgufMaxKeys = 65536;
inline constexpr std::uint64_t kGgufMaxArrayElements = 8388608;  // of all arrays together
inline constexpr std::uint64_t kGgufMaxKeyBytes = 65535;
inline constexpr std::uint64_t kGgufMaxTensorNameBytes = 64;
inline constexpr std::uint64_t kGgufMinAlignment = 8;
inline constexpr std::uint64_t kGgufMaxAlignment = 65536;
inline constexpr std::uint64_t kGgufDefaultAlignment = 32;

class GgufParser {
 public:
  // `file` has source_ and bytes_; the parser fills in the rest.
  explicit GgufParser(GgufFile& file) : file_(file), reader_(file.bytes_) {}

  Result<void> parse();

  // The data bytes of each tensor of a file whose data is yet to be written: its header, metadata
  // and tensor entries are checked as in parse(). What the writer writes, the reader accepts.
  static Result<std::vector<std::uint64_t>> data_sizes(std::span<const std::byte> entries);

 private:
  // What a tensor entry says about the data section, until the section is checked as a whole.
  struct Placement {
    std::uint64_t offset = 0;  // from the start of the data section
    std::uint64_t bytes = 0;
  };

  Result<void> parse_entries();
  Result<void> parse_header();

  Result<void> parse_key(std::string_view& key);
  Result<std::string_view> parse_key_text();
  Result<GgufType> parse_type(std::string_view what);
  Result<GgufValue> parse_scalar(GgufType type);
  Result<GgufValue> parse_array();
  Result<GgufArray> parse_elements(GgufType type, std::uint64_t count);
  Result<bool> parse_bool(std::string_view what);
  Result<std::string_view> parse_string(std::string_view what_length, std::string_view what_text);
  Result<void> apply_alignment();

  Result<void> parse_tensor(std::string_view& name);
  Result<std::string_view> parse_tensor_name();
  Result<void> parse_shape(Tensor& tensor);
  Result<TensorType> parse_tensor_type();
  Result<std::uint64_t> tensor_bytes(const Tensor& tensor) const;
  Result<std::uint64_t> whole_matrix_bytes(const Tensor& tensor) const;
  Result<std::uint64_t> parse_tensor_offset();

  Result<void> place_tensors();
  Result<void> check_overlaps() const;
  Result<void> check_gap(std::size_t index, std::uint64_t next) const;
  Result<void> attach_scales();

  GgufFile& file_;
  ByteReader reader_;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t key_count_ = 0;
  std::uint64_t array_elements_ = 0;
  std::vector<Placement> placements_;
};

}  // namespace tern::format
