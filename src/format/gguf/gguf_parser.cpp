#include "format/gguf/gguf_parser.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "format/gguf/gguf_errors.h"
#include "format/gguf/gguf_text.h"

namespace tern::format {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kAlignmentKey = "general.alignment";

// The least that one entry takes: a name of one byte behind its length, and the fixed fields.
constexpr std::uint64_t kMinKeyEntryBytes = 8 + 1 + 4 + 1;
constexpr std::uint64_t kMinTensorEntryBytes = 8 + 1 + 4 + 8 + 4 + 8;

template <typename Wide, typename T>
Result<GgufValue> widened(Result<T> value) {
  if (!value) return std::move(value.error());
  return GgufValue(static_cast<Wide>(*value));
}

template <typename T, typename Wide>
Result<GgufArray> read_numbers(ByteReader& reader, std::uint64_t count) {
  TERN_ASSIGN(const auto bytes, reader.take(count * sizeof(T), "the array's elements"));
  std::vector<Wide> numbers(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    T number;
    std::memcpy(&number, bytes.data() + i * sizeof(T), sizeof(T));
    numbers[i] = static_cast<Wide>(number);
  }
  return GgufArray(std::move(numbers));
}

}  // namespace

Result<void> GgufParser::parse() {
  TERN_TRY(parse_entries());
  return place_tensors();
}

Result<std::vector<std::uint64_t>> GgufParser::data_sizes(std::span<const std::byte> entries) {
  GgufFile file;
  file.bytes_ = entries;
  GgufParser parser(file);
  TERN_TRY(parser.parse_entries());
  std::vector<std::uint64_t> sizes;
  for (const Placement& placement : parser.placements_) sizes.push_back(placement.bytes);
  return sizes;
}

Result<void> GgufParser::parse_entries() {
  if (auto header = parse_header(); !header) return in_context("header", header.error());
  for (std::uint64_t i = 0; i < key_count_; ++i) {
    std::string_view key;
    if (auto entry = parse_key(key); !entry) {
      return in_context(key.empty() ? fmt::format("key {} of {}", i + 1, key_count_)
                                    : fmt::format("key {}", in_quotes(key)),
                        entry.error());
    }
  }
  if (auto alignment = apply_alignment(); !alignment) {
    return in_context(fmt::format("key {}", in_quotes(kAlignmentKey)), alignment.error());
  }
  for (std::uint64_t i = 0; i < tensor_count_; ++i) {
    std::string_view name;
    if (auto entry = parse_tensor(name); !entry) {
      return in_context(name.empty() ? fmt::format("tensor {} of {}", i + 1, tensor_count_)
                                     : fmt::format("tensor {}", in_quotes(name)),
                        entry.error());
    }
  }
  return {};
}

Result<void> GgufParser::parse_header() {
  TERN_ASSIGN(const auto magic, reader_.take(kMagic.size(), "the magic"));
  if (text_of(magic) != kMagic) {
    return malformed(0, "expected the magic 'GGUF', found {}; this is not a GGUF file",
                     in_quotes(text_of(magic)));
  }
  TERN_ASSIGN(file_.version_, reader_.read<std::uint32_t>("the version"));
  if ((file_.version_ & 0xffffu) == 0 && file_.version_ != 0) {
    return unsupported(4,
                       "the file is big endian (version {} byte-swapped); convert it to little "
                       "endian",
                       __builtin_bswap32(file_.version_));
  }
  if (file_.version_ < 2 || file_.version_ > 3) {
    return unsupported(4, "expected GGUF version 2 or 3, found {}; convert the file again",
                       file_.version_);
  }
  TERN_ASSIGN(tensor_count_, reader_.read<std::uint64_t>("the tensor count"));
  if (tensor_count_ > kGgufMaxTensors) {
    return malformed(8, "expected at most {} tensors, found {}", kGgufMaxTensors, tensor_count_);
  }
  TERN_ASSIGN(key_count_, reader_.read<std::uint64_t>("the key count"));
  if (key_count_ > kGgufMaxKeys) {
    return malformed(16, "expected at most {} keys, found {}", kGgufMaxKeys, key_count_);
  }
  const std::uint64_t key_bytes = key_count_ * kMinKeyEntryBytes;
  if (key_bytes > reader_.remaining()) {
    return malformed(16, "{} keys take at least {} bytes, but {} follow; the file is cut",
                     key_count_, key_bytes, reader_.remaining());
  }
  const std::uint64_t tensor_bytes = tensor_count_ * kMinTensorEntryBytes;
  if (tensor_bytes > reader_.remaining() - key_bytes) {
    return malformed(8, "{} tensor entries take at least {} bytes, but {} follow; the file is cut",
                     tensor_count_, tensor_bytes, reader_.remaining() - key_bytes);
  }
  return {};
}

// Sets `key` as soon as it is known to be presentable, so that an error can name it.
Result<void> GgufParser::parse_key(std::string_view& key) {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(key, parse_key_text());
  TERN_ASSIGN(const GgufType type, parse_type("value"));
  TERN_ASSIGN(GgufValue value, type == GgufType::kArray ? parse_array() : parse_scalar(type));
  if (!file_.values_.emplace(key, std::move(value)).second) {
    return malformed(at, "the key occurs twice; expected each key once");
  }
  if (key == kAlignmentKey && type != GgufType::kUint32) {
    return malformed(at, "expected a uint32, found a {}", name(type));
  }
  file_.keys_.push_back(key);
  file_.entries_.push_back(file_.bytes_.subspan(at, reader_.offset() - at));
  return {};
}

Result<std::string_view> GgufParser::parse_key_text() {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(const auto length, reader_.read<std::uint64_t>("a key's length"));
  if (length == 0) return malformed(at, "the key is empty");
  if (length > kGgufMaxKeyBytes) {
    return malformed(at, "expected a key of at most {} bytes, found {}", kGgufMaxKeyBytes, length);
  }
  TERN_ASSIGN(const auto bytes, reader_.take(length, "a key's text"));
  if (!is_utf8(text_of(bytes))) {
    return malformed(at, "the key {} is not valid UTF-8", in_quotes(text_of(bytes)));
  }
  return text_of(bytes);
}

Result<GgufType> GgufParser::parse_type(std::string_view what) {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(const auto id, reader_.read<std::uint32_t>(fmt::format("the {} type", what)));
  if (id > static_cast<std::uint32_t>(GgufType::kFloat64)) {
    return malformed(at, "expected the {} type to be 0 to 12, found {}", what, id);
  }
  return static_cast<GgufType>(id);
}

Result<GgufValue> GgufParser::parse_scalar(GgufType type) {
  constexpr std::string_view kWhat = "the value";
  switch (type) {
    case GgufType::kUint8: return widened<std::uint64_t>(reader_.read<std::uint8_t>(kWhat));
    case GgufType::kInt8: return widened<std::int64_t>(reader_.read<std::int8_t>(kWhat));
    case GgufType::kUint16: return widened<std::uint64_t>(reader_.read<std::uint16_t>(kWhat));
    case GgufType::kInt16: return widened<std::int64_t>(reader_.read<std::int16_t>(kWhat));
    case GgufType::kUint32: return widened<std::uint64_t>(reader_.read<std::uint32_t>(kWhat));
    case GgufType::kInt32: return widened<std::int64_t>(reader_.read<std::int32_t>(kWhat));
    case GgufType::kUint64: return widened<std::uint64_t>(reader_.read<std::uint64_t>(kWhat));
    case GgufType::kInt64: return widened<std::int64_t>(reader_.read<std::int64_t>(kWhat));
    case GgufType::kFloat32: return widened<double>(reader_.read<float>(kWhat));
    case GgufType::kFloat64: return widened<double>(reader_.read<double>(kWhat));
    case GgufType::kBool: return widened<bool>(parse_bool(kWhat));
    case GgufType::kString:
      return widened<std::string_view>(parse_string("the string's length", "the string's text"));
    case GgufType::kArray: break;  // parse_array's business
  }
  return unsupported(reader_.offset(), "expected a scalar, found an array");
}

Result<GgufValue> GgufParser::parse_array() {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(const GgufType type, parse_type("element"));
  if (type == GgufType::kArray) {
    return unsupported(at, "expected an array of scalars, found an array of arrays");
  }
  TERN_ASSIGN(const auto count, reader_.read<std::uint64_t>("the array's length"));
  const std::uint64_t room = reader_.remaining() / minimum_bytes(type);
  if (count > room) {
    return malformed(at + 4, "expected at most {} elements of {} in the rest of the file, found {}",
                     room, name(type), count);
  }
  if (count > kGgufMaxArrayElements - array_elements_) {
    return malformed(at + 4,
                     "expected at most {} array elements in a file, found {} more than that",
                     kGgufMaxArrayElements, count - (kGgufMaxArrayElements - array_elements_));
  }
  array_elements_ += count;
  TERN_ASSIGN(GgufArray array, parse_elements(type, count));
  return GgufValue(std::move(array));
}

Result<GgufArray> GgufParser::parse_elements(GgufType type, std::uint64_t count) {
  switch (type) {
    case GgufType::kUint8: return read_numbers<std::uint8_t, std::uint64_t>(reader_, count);
    case GgufType::kInt8: return read_numbers<std::int8_t, std::int64_t>(reader_, count);
    case GgufType::kUint16: return read_numbers<std::uint16_t, std::uint64_t>(reader_, count);
    case GgufType::kInt16: return read_numbers<std::int16_t, std::int64_t>(reader_, count);
    case GgufType::kUint32: return read_numbers<std::uint32_t, std::uint64_t>(reader_, count);
    case GgufType::kInt32: return read_numbers<std::int32_t, std::int64_t>(reader_, count);
    case GgufType::kUint64: return read_numbers<std::uint64_t, std::uint64_t>(reader_, count);
    case GgufType::kInt64: return read_numbers<std::int64_t, std::int64_t>(reader_, count);
    case GgufType::kFloat32: return read_numbers<float, double>(reader_, count);
    case GgufType::kFloat64: return read_numbers<double, double>(reader_, count);
    case GgufType::kBool: {
      std::vector<bool> flags;
      for (std::uint64_t i = 0; i < count; ++i) {
        TERN_ASSIGN(const bool flag, parse_bool(fmt::format("element {}", i)));
        flags.push_back(flag);
      }
      return GgufArray(std::move(flags));
    }
    case GgufType::kString: {
      std::vector<std::string_view> strings;
      strings.reserve(count);
      for (std::uint64_t i = 0; i < count; ++i) {
        TERN_ASSIGN(const auto text, parse_string("an element's length", "an element's text"));
        strings.push_back(text);
      }
      return GgufArray(std::move(strings));
    }
    case GgufType::kArray: break;  // refused by parse_array
  }
  return unsupported(reader_.offset(), "expected an array of scalars");
}

Result<bool> GgufParser::parse_bool(std::string_view what) {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(const auto byte, reader_.read<std::uint8_t>(what));
  if (byte > 1) return malformed(at, "expected 0 or 1 for {}, a bool, found {}", what, byte);
  return byte == 1;
}

Result<std::string_view> GgufParser::parse_string(std::string_view what_length,
                                                  std::string_view what_text) {
  TERN_ASSIGN(const auto length, reader_.read<std::uint64_t>(what_length));
  TERN_ASSIGN(const auto bytes, reader_.take(length, what_text));
  return text_of(bytes);
}

Result<void> GgufParser::apply_alignment() {
  const GgufValue* value = file_.find(kAlignmentKey);
  file_.alignment_ = value == nullptr ? kGgufDefaultAlignment : std::get<std::uint64_t>(*value);
  if (!std::has_single_bit(file_.alignment_) || file_.alignment_ < kGgufMinAlignment ||
      file_.alignment_ > kGgufMaxAlignment) {
    return Error{ErrorCode::kMalformed,
                 fmt::format("expected a power of two from {} to {}, found {}", kGgufMinAlignment,
                             kGgufMaxAlignment, file_.alignment_),
                 ""};
  }
  return {};
}

}  // namespace tern::format
