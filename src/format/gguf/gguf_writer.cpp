#include "format/gguf/gguf_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "format/gguf/gguf_parser.h"
#include "format/gguf/gguf_text.h"

namespace tern::format {
namespace {

constexpr std::uint32_t kVersion = 3;

// The type id of a C++ type; vectors are arrays of their element's type.
template <typename T>
constexpr GgufType type_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return GgufType::kUint8;
  if constexpr (std::is_same_v<T, std::int8_t>) return GgufType::kInt8;
  if constexpr (std::is_same_v<T, std::uint16_t>) return GgufType::kUint16;
  if constexpr (std::is_same_v<T, std::int16_t>) return GgufType::kInt16;
  if constexpr (std::is_same_v<T, std::uint32_t>) return GgufType::kUint32;
  if constexpr (std::is_same_v<T, std::int32_t>) return GgufType::kInt32;
  if constexpr (std::is_same_v<T, std::uint64_t>) return GgufType::kUint64;
  if constexpr (std::is_same_v<T, std::int64_t>) return GgufType::kInt64;
  if constexpr (std::is_same_v<T, float>) return GgufType::kFloat32;
  if constexpr (std::is_same_v<T, double>) return GgufType::kFloat64;
  if constexpr (std::is_same_v<T, bool>) return GgufType::kBool;
  if constexpr (std::is_same_v<T, std::string>) return GgufType::kString;
  return GgufType::kArray;
}

// The zeros that follow `bytes` bytes.
std::uint64_t padding(std::uint64_t bytes, std::uint64_t alignment) {
  return (alignment - bytes % alignment) % alignment;
}

class ByteBuffer {
 public:
  template <typename T>
  void put(T value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    append(&value, sizeof value);
  }

  void put(const std::string& text) {
    put(std::uint64_t{text.size()});
    append(text.data(), text.size());
  }

  template <typename T>
  void put(const std::vector<T>& array) {
    put(type_of<T>());
    put(std::uint64_t{array.size()});
    for (const auto& element : array) put(static_cast<const T&>(element));
  }

  void put_bytes(std::span<const std::byte> bytes) { append(bytes.data(), bytes.size()); }

  void overwrite(std::size_t at, std::uint64_t value) {
    std::ranges::copy(std::as_bytes(std::span(&value, 1)),
                      bytes_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void pad_to(std::uint64_t alignment) { bytes_.resize(size() + padding(size(), alignment)); }

  std::size_t size() const { return bytes_.size(); }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void append(const void* data, std::size_t count) {
    const std::size_t begin = bytes_.size();
    bytes_.resize(begin + count);
    if (count != 0) std::memcpy(bytes_.data() + begin, data, count);
  }

  std::vector<std::byte> bytes_;
};

void put_value(ByteBuffer& out, const std::string& key, const GgufWriterValue& value) {
  out.put(key);
  std::visit(
      [&](const auto& held) {
        out.put(type_of<std::remove_cvref_t<decltype(held)>>());
        out.put(held);
      },
      value);
}

}  // namespace

void GgufWriter::set(std::string key, GgufWriterValue value) {
  values_.emplace_back(std::pair(std::move(key), std::move(value)));
}

void GgufWriter::copy(std::span<const std::byte> entry) { values_.emplace_back(entry); }

void GgufWriter::add_tensor(std::string name, TensorType type, std::vector<std::uint64_t> shape,
                            Source source) {
  tensors_.push_back({std::move(name), type, std::move(shape), std::move(source)});
}

void GgufWriter::add_tensor(std::string name, TensorType type, std::vector<std::uint64_t> shape,
                            std::span<const std::byte> bytes) {
  add_tensor(std::move(name), type, std::move(shape),
             Source([bytes](const Sink& sink) { return sink(bytes); }));
}

Result<GgufWriter::Layout> GgufWriter::layout() const {
  ByteBuffer out;
  const bool record_alignment = alignment_ != kGgufDefaultAlignment;
  for (const char c : {'G', 'G', 'U', 'F'}) out.put(c);
  out.put(kVersion);
  out.put(std::uint64_t{tensors_.size()});
  out.put(std::uint64_t{values_.size()} + (record_alignment ? 1 : 0));
  if (record_alignment) put_value(out, "general.alignment", alignment_);
  for (const Value& value : values_) {
    if (const auto* entry = std::get_if<std::span<const std::byte>>(&value)) {
      out.put_bytes(*entry);
    } else {
      const auto& [key, held] = std::get<0>(value);
      put_value(out, key, held);
    }
  }
  std::vector<std::size_t> offset_fields;
  for (const Entry& tensor : tensors_) {
    out.put(tensor.name);
    out.put(static_cast<std::uint32_t>(tensor.shape.size()));
    for (const std::uint64_t dimension : tensor.shape) out.put(dimension);
    out.put(tensor.type);
    offset_fields.push_back(out.size());
    out.put(std::uint64_t{0});
  }

  Layout layout;
  auto sizes = GgufParser::data_sizes(out.bytes());
  if (!sizes) {
    sizes.error().code = ErrorCode::kUsage;
    return std::move(sizes.error());
  }
  layout.sizes = std::move(*sizes);
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    out.overwrite(offset_fields[i], offset);
    layout.offsets.push_back(offset);
    const std::uint64_t bytes = layout.sizes[i] + padding(layout.sizes[i], alignment_);
    if (__builtin_add_overflow(offset, bytes, &offset)) {
      return Error{ErrorCode::kUsage, "the tensors together do not fit into 64 bits",
                   fmt::format("tensor {}", in_quotes(tensors_[i].name))};
    }
  }
  out.pad_to(alignment_);
  for (std::uint64_t& start : layout.offsets) start += out.size();
  layout.file_bytes = out.size() + offset;
  layout.head = out.take();
  return layout;
}

Result<void> GgufWriter::write_tensor(AtomicFile& file, const Entry& tensor,
                                      std::uint64_t bytes) const {
  const std::uint64_t start = file.size();
  TERN_TRY(tensor.source([&](std::span<const std::byte> part) { return file.write(part); }));
  const std::uint64_t given = file.size() - start;
  if (given != bytes) {
    return Error{ErrorCode::kUsage,
                 fmt::format("expected {} bytes of data, the source gave {}", bytes, given),
                 fmt::format("tensor {}", in_quotes(tensor.name))};
  }
  const std::vector<std::byte> zeros(padding(bytes, alignment_));
  return file.write(zeros);
}

Result<void> GgufWriter::write(const std::filesystem::path& path) const {
  const auto planned = layout();
  if (!planned) return in_context(path.string(), planned.error());
  TERN_ASSIGN(AtomicFile file, AtomicFile::create(path));
  TERN_TRY(file.require_space(planned->file_bytes));
  TERN_TRY(file.write(planned->head));
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (auto written = write_tensor(file, tensors_[i], planned->sizes[i]); !written) {
      return in_context(path.string(), std::move(written.error()));
    }
  }
  return file.commit();
}

}  // namespace tern::format
