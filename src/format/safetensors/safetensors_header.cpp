// The checks of a safetensors header, in the order in which a reader needs them.
#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "core/json.h"
#include "format/gguf/gguf_text.h"
#include "format/safetensors/safetensors_file.h"

namespace tern::format {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostRank = 8;
constexpr std::size_t kMostName = 1024;
// The deepest are the numbers of a shape.
constexpr std::size_t kHeaderDepth = 4;

struct TypeRow {
  std::string_view name;
  std::uint64_t bytes;
};
// In the order of SafetensorsType.
constexpr std::array<TypeRow, 10> kTypes{{{"BOOL", 1},
                                          {"U8", 1},
                                          {"I8", 1},
                                          {"I16", 2},
                                          {"F16", 2},
                                          {"BF16", 2},
                                          {"I32", 4},
                                          {"F32", 4},
                                          {"I64", 8},
                                          {"F64", 8}}};

std::string type_names() {
  std::string out;
  for (const TypeRow& row : kTypes) {
    if (!out.empty()) out += ", ";
    out += row.name;
  }
  return out;
}

class HeaderReader {
 public:
  HeaderReader(std::uint64_t data_begin, std::uint64_t file_bytes, const std::string& source)
      : data_begin_(data_begin), data_bytes_(file_bytes - data_begin), source_(source) {}

  Result<std::vector<SafetensorsTensor>> read(const json::object& header) {
    std::vector<SafetensorsTensor> tensors;
    for (const auto& member : header) {
      const std::string_view name(member.key().data(), member.key().size());
      if (name == "__metadata__") {
        TERN_TRY(check_metadata(member.value()));
        continue;
      }
      TERN_ASSIGN(auto tensor, read_tensor(name, member.value()));
      tensors.push_back(std::move(tensor));
    }
    std::ranges::sort(tensors, {}, [](const auto& t) { return std::pair(t.offset, t.bytes); });
    TERN_TRY(check_cover(tensors));
    return tensors;
  }

 private:
  Error malformed(std::string message, std::string_view tensor = {}) const {
    const std::string where = tensor.empty() ? source_ : source_ + ": tensor " + in_quotes(tensor);
    return Error{ErrorCode::kMalformed, std::move(message), where};
  }

  Result<void> check_metadata(const json::value& value) const {
    if (!value.is_object()) return malformed("expected an object at __metadata__");
    for (const auto& member : value.get_object()) {
      if (member.value().is_string()) continue;
      return malformed("expected a text at __metadata__." +
                       std::string(member.key().data(), member.key().size()));
    }
    return {};
  }

  Result<SafetensorsTensor> read_tensor(std::string_view name, const json::value& value) const {
    if (name.empty()) return malformed("expected a name for each tensor, found an empty one");
    if (name.size() > kMostName) {
      return malformed(
          "expected a name of at most 1024 bytes, found " + std::to_string(name.size()), name);
    }
    const json::object* entry = value.if_object();
    if (entry == nullptr)
      return malformed("expected an object with dtype, shape, data_offsets", name);
    for (const auto& member : *entry) {
      const std::string_view key(member.key().data(), member.key().size());
      if (key == "dtype" || key == "shape" || key == "data_offsets") continue;
      return malformed("the member " + in_quotes(key) + " is not understood", name);
    }
    SafetensorsTensor tensor;
    tensor.name = name;
    TERN_ASSIGN(tensor.type, read_type(*entry, name));
    TERN_ASSIGN(tensor.shape, read_shape(*entry, name));
    TERN_TRY(read_range(*entry, tensor));
    return tensor;
  }

  Result<SafetensorsType> read_type(const json::object& entry, std::string_view tensor) const {
    const json::value* value = entry.if_contains("dtype");
    if (value == nullptr || !value->is_string())
      return malformed("expected a text at dtype", tensor);
    const std::string_view wanted(value->get_string().data(), value->get_string().size());
    for (std::size_t i = 0; i < kTypes.size(); ++i) {
      if (kTypes[i].name == wanted) return SafetensorsType{static_cast<std::uint8_t>(i)};
    }
    Error error =
        malformed("expected a dtype of " + type_names() + ", found " + in_quotes(wanted), tensor);
    error.code = ErrorCode::kUnsupported;
    return error;
  }

  // Numbers that are whole and not negative; `what` is the member.
  Result<std::vector<std::uint64_t>> read_numbers(const json::object& entry, const char* what,
                                                  std::string_view tensor) const {
    const json::value* value = entry.if_contains(what);
    if (value == nullptr || !value->is_array()) {
      return malformed(std::string("expected an array at ") + what, tensor);
    }
    std::vector<std::uint64_t> numbers;
    for (const json::value& element : value->get_array()) {
      if (element.is_uint64()) {
        numbers.push_back(element.get_uint64());
      } else if (element.is_int64() && element.get_int64() >= 0) {
        numbers.push_back(static_cast<std::uint64_t>(element.get_int64()));
      } else {
        return malformed(std::string("expected whole numbers that are not negative at ") + what,
                         tensor);
      }
    }
    return numbers;
  }

  Result<std::vector<std::uint64_t>> read_shape(const json::object& entry,
                                                std::string_view tensor) const {
    TERN_ASSIGN(auto shape, read_numbers(entry, "shape", tensor));
    if (shape.size() > kMostRank) {
      return malformed("expected at most 8 dimensions, found " + std::to_string(shape.size()),
                       tensor);
    }
    if (std::ranges::find(shape, 0u) != shape.end()) {
      return malformed("expected no dimension of 0", tensor);
    }
    return shape;
  }

  Result<void> read_range(const json::object& entry, SafetensorsTensor& tensor) const {
    TERN_ASSIGN(const auto range, read_numbers(entry, "data_offsets", tensor.name));
    if (range.size() != 2) {
      return malformed("expected two data_offsets, found " + std::to_string(range.size()),
                       tensor.name);
    }
    if (range[0] > range[1]) {
      return malformed("the data_offsets end at " + std::to_string(range[1]) +
                           ", before they begin at " + std::to_string(range[0]),
                       tensor.name);
    }
    if (range[1] > data_bytes_) {
      return malformed("the data_offsets end at " + std::to_string(range[1]) + " of a file with " +
                           std::to_string(data_bytes_) + " bytes of data; the download is cut",
                       tensor.name);
    }
    std::uint64_t bytes = element_bytes(tensor.type);
    for (const std::uint64_t dimension : tensor.shape) {
      if (__builtin_mul_overflow(bytes, dimension, &bytes)) {
        return malformed("the shape " + tensor.shape_text() + " does not fit into 64 bits",
                         tensor.name);
      }
    }
    if (bytes != range[1] - range[0]) {
      return malformed("the shape " + tensor.shape_text() + " of " +
                           std::string(name(tensor.type)) + " takes " + std::to_string(bytes) +
                           " bytes, the data_offsets give " + std::to_string(range[1] - range[0]),
                       tensor.name);
    }
    tensor.offset = data_begin_ + range[0];
    tensor.bytes = bytes;
    return {};
  }

  // Each byte belongs to one tensor. Bytes of none could hide anything.
  Result<void> check_cover(const std::vector<SafetensorsTensor>& tensors) const {
    std::uint64_t at = data_begin_;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].offset < at) {
        return malformed("its bytes from " + std::to_string(tensors[i].offset - data_begin_) +
                             " on overlap those of tensor " + in_quotes(tensors[i - 1].name),
                         tensors[i].name);
      }
      if (tensors[i].offset > at) {
        return malformed(
            std::to_string(tensors[i].offset - at) + " bytes before it belong to no tensor",
            tensors[i].name);
      }
      at += tensors[i].bytes;
    }
    const std::uint64_t end = data_begin_ + data_bytes_;
    if (at == end) return {};
    return malformed(std::to_string(end - at) + " bytes at the end belong to no tensor");
  }

  std::uint64_t data_begin_;
  std::uint64_t data_bytes_;
  const std::string& source_;
};

}  // namespace

std::string_view name(SafetensorsType type) { return kTypes[static_cast<std::size_t>(type)].name; }

std::uint64_t element_bytes(SafetensorsType type) {
  return kTypes[static_cast<std::size_t>(type)].bytes;
}

std::string SafetensorsTensor::shape_text() const {
  std::string out = "[";
  for (const std::uint64_t dimension : shape) {
    if (out.size() > 1) out += ", ";
    out += std::to_string(dimension);
  }
  return out + "]";
}

Result<std::vector<SafetensorsTensor>> parse_safetensors_header(std::string_view header,
                                                                std::uint64_t data_begin,
                                                                std::uint64_t file_bytes,
                                                                const std::string& source) {
  auto parsed = parse_json(header, {.bytes = kMostSafetensorsHeader, .depth = kHeaderDepth});
  if (!parsed) return in_context(source + ": header", std::move(parsed.error()));
  if (!parsed->is_object()) {
    return Error{ErrorCode::kMalformed, "expected a JSON object", source + ": header"};
  }
  return HeaderReader(data_begin, file_bytes, source).read(parsed->get_object());
}

}  // namespace tern::format
