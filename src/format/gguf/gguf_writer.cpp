#include "format/gguf/gguf_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "core/atomic_file.h"
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

class ByteBuffer {
 public:
  template <typename T>
  void put(T value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    const auto bytes = std::as_bytes(std::span(&value, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  void put(const std::string& text) {
    put(std::uint64_t{text.size()});
    const auto bytes = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  template <typename T>
  void put(const std::vector<T>& array) {
    put(type_of<T>());
    put(std::uint64_t{array.size()});
    for (const auto& element : array) put(static_cast<const T&>(element));
  }

  void overwrite(std::size_t at, std::uint64_t value) {
    std::ranges::copy(std::as_bytes(std::span(&value, 1)),
                      bytes_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void pad_to(std::uint64_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
  }

  std::size_t size() const { return bytes_.size(); }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
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

Result<void> pad_file(AtomicFile& file, std::uint64_t alignment) {
  const std::vector<std::byte> padding((alignment - file.size() % alignment) % alignment);
  return file.write(padding);
}

}  // namespace

void GgufWriter::set(std::string key, GgufWriterValue value) {
  values_.emplace_back(std::move(key), std::move(value));
}

void GgufWriter::add_tensor(std::string name, TensorType type, std::vector<std::uint64_t> shape,
                            Source source) {
  tensors_.push_back({std::move(name), type, std::move(shape), std::move(source)});
}

void GgufWriter::add_tensor(std::string name, TensorType type, std::vector<std::uint64_t> shape,
                            std::span<const std::byte> bytes) {
  add_tensor(std::move(name), type, std::move(shape),
             Source([bytes](const Sink& sink) { return sink(bytes); }));
}

Result<void> GgufWriter::write(const std::filesystem::path& path) const {
  ByteBuffer head;
  const bool record_alignment = alignment_ != kGgufDefaultAlignment;
  for (const char c : {'G', 'G', 'U', 'F'}) head.put(c);
  head.put(kVersion);
  head.put(std::uint64_t{tensors_.size()});
  head.put(std::uint64_t{values_.size() + (record_alignment ? 1 : 0)});
  if (record_alignment) put_value(head, "general.alignment", alignment_);
  for (const auto& [key, value] : values_) put_value(head, key, value);
  std::vector<std::size_t> offset_fields;
  for (const Entry& tensor : tensors_) {
    head.put(tensor.name);
    head.put(static_cast<std::uint32_t>(tensor.shape.size()));
    for (const std::uint64_t dimension : tensor.shape) head.put(dimension);
    head.put(tensor.type);
    offset_fields.push_back(head.size());
    head.put(std::uint64_t{0});
  }

  auto sizes = GgufParser::data_sizes(head.bytes());
  if (!sizes) {
    sizes.error().code = ErrorCode::kUsage;
    return in_context(path.string(), std::move(sizes.error()));
  }
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    head.overwrite(offset_fields[i], offset);
    offset += ((*sizes)[i] + alignment_ - 1) / alignment_ * alignment_;
  }
  head.pad_to(alignment_);

  TERN_ASSIGN(AtomicFile file, AtomicFile::create(path));
  TERN_TRY(file.write(head.bytes()));
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const std::uint64_t start = file.size();
    TERN_TRY(
        tensors_[i].source([&](std::span<const std::byte> bytes) { return file.write(bytes); }));
    if (file.size() - start != (*sizes)[i]) {
      return Error{ErrorCode::kUsage,
                   fmt::format("expected {} bytes of data, the source gave {}", (*sizes)[i],
                               file.size() - start),
                   fmt::format("{}: tensor {}", path.string(), in_quotes(tensors_[i].name))};
    }
    TERN_TRY(pad_file(file, alignment_));
  }
  return file.commit();
}

}  // namespace tern::format
