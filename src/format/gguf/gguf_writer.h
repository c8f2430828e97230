// Writes GGUF version 3, little endian, aligned. What GgufFile accepts is what this writes: write()
// checks names, types and sizes before it touches the disk, and the path gets the whole file or
// stays as it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/atomic_file.h"
#include "core/result.h"
#include "format/tensor.h"

namespace tern::format {

// One alternative for each type in the file: a std::uint32_t is written as a uint32.
using GgufWriterValue =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t,
                 std::int32_t, std::uint64_t, std::int64_t, float, double, bool, std::string,
                 std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                 std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                 std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<float>,
                 std::vector<double>, std::vector<bool>, std::vector<std::string>>;

class GgufWriter {
 public:
  // Receives the next bytes of a tensor.
  using Sink = std::function<Result<void>(std::span<const std::byte>)>;
  // Streams a tensor's bytes into the sink, in order; called once by write().
  using Source = std::function<Result<void>(const Sink&)>;

  // The alignment of tensors; a value other than the format's 32 is recorded in general.alignment.
  explicit GgufWriter(std::uint32_t alignment = 32) : alignment_(alignment) {}

  // Keys and tensors are written in the order in which they were added.
  void set(std::string key, GgufWriterValue value);
  // An entry as GgufFile::entries() gives it; its bytes are borrowed until write() or layout().
  void copy(std::span<const std::byte> entry);
  void add_tensor(std::string name, TensorType type, std::vector<std::uint64_t> shape,
                  Source source);
  // The bytes are borrowed until write() has returned.
  void add_tensor(std::string name, TensorType type, std::vector<std::uint64_t> shape,
                  std::span<const std::byte> bytes);

  // All in front of the data section, and where each tensor's bytes stand in the file, in the order
  // in which the tensors were added: for who writes these itself. Between and behind them are
  // zeros.
  struct Layout {
    std::vector<std::byte> head;
    std::vector<std::uint64_t> offsets;
    std::vector<std::uint64_t> sizes;
    std::uint64_t file_bytes = 0;
  };
  // Errors: kUsage for what no reader would accept.
  Result<Layout> layout() const;

  // Errors: kUsage for what no reader would accept (a name twice, a shape that the type cannot
  // have, a source that gives too few or too many bytes), kIo (before any tensor's bytes are asked
  // for where the file system lacks the room), those of the sources.
  Result<void> write(const std::filesystem::path& path) const;

 private:
  struct Entry {
    std::string name;
    TensorType type = TensorType::kF32;
    std::vector<std::uint64_t> shape;
    Source source;
  };
  Result<void> write_tensor(AtomicFile& file, const Entry& tensor, std::uint64_t bytes) const;

  using Value = std::variant<std::pair<std::string, GgufWriterValue>, std::span<const std::byte>>;

  std::uint32_t alignment_;
  std::vector<Value> values_;
  std::vector<Entry> tensors_;
};

}  // namespace tern::format
