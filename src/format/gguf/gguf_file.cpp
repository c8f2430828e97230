#include "format/gguf/gguf_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/folder.h"
#include "format/gguf/gguf_parser.h"
#include "format/gguf/gguf_text.h"
#include "format/kernel_config.h"

namespace tern::format {
namespace {

std::string_view element_name(const GgufArray& array) {
  constexpr std::string_view kNames[] = {"array of signed integers", "array of unsigned integers",
                                         "array of floats", "array of bools", "array of strings"};
  return kNames[array.index()];
}

}  // namespace

std::string_view type_name(const GgufValue& value) {
  constexpr std::string_view kNames[] = {"signed integer", "unsigned integer", "float", "bool",
                                         "string"};
  const auto* array = std::get_if<GgufArray>(&value);
  return array == nullptr ? kNames[value.index()] : element_name(*array);
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  TERN_ASSIGN(MappedFile mapping, MappedFile::open(path));
  TERN_ASSIGN(GgufFile file, parse(mapping.bytes(), path.string()));
  file.mapping_ = std::make_unique<const MappedFile>(std::move(mapping));
  for (Tensor& tensor : file.tensors_) tensor.file = file.mapping_.get();
  const std::filesystem::path beside = path.parent_path() / kKernelConfigFile;
  std::error_code ignored;
  if (file.lacks_tilings() && std::filesystem::exists(beside, ignored)) {
    TERN_ASSIGN(const std::string text, read_text(beside, kMostKernelConfig));
    TERN_TRY(file.set_tilings(text, beside.string()));
  }
  return file;
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string source) {
  GgufFile file;
  file.bytes_ = bytes;
  file.source_ = std::move(source);
  if (auto parsed = GgufParser(file).parse(); !parsed) {
    return in_context(file.source_, std::move(parsed.error()));
  }
  if (file.find(kKernelConfigKey) != nullptr) {
    TERN_ASSIGN(const std::string_view text, file.get_string(kKernelConfigKey));
    TERN_TRY(file.set_tilings(
        text, fmt::format("{}: key {}", file.source_, in_quotes(kKernelConfigKey))));
  }
  return file;
}

bool GgufFile::lacks_tilings() const {
  return std::ranges::any_of(tensors_, [](const Tensor& tensor) {
    return (tensor.type == TensorType::kTL1 || tensor.type == TensorType::kTL2) &&
           !tensor.tiling.known();
  });
}

Result<void> GgufFile::set_tilings(std::string_view kernel_config, const std::string& where) {
  auto config = KernelConfig::parse(kernel_config);
  if (!config) return in_context(where, std::move(config.error()));
  for (Tensor& tensor : tensors_) {
    if (tensor.type != TensorType::kTL1 && tensor.type != TensorType::kTL2) continue;
    if (!tensor.tiling.known()) tensor.tiling = config->find(tensor.rows(), tensor.columns());
  }
  return {};
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

const Tensor* GgufFile::tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

Error GgufFile::key_error(std::string_view key, std::string_view expected) const {
  const GgufValue* value = find(key);
  std::string found(value == nullptr ? "none" : type_name(*value));
  if (value != nullptr && std::holds_alternative<std::int64_t>(*value)) {
    found += fmt::format(" {}", std::get<std::int64_t>(*value));
  }
  return Error{ErrorCode::kMalformed, fmt::format("expected {}, found {}", expected, found),
               fmt::format("{}: key {}", source_, in_quotes(key))};
}

Result<std::uint64_t> GgufFile::get_uint(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value != nullptr) {
    if (const auto* number = std::get_if<std::uint64_t>(value)) return *number;
    const auto* number = std::get_if<std::int64_t>(value);
    if (number != nullptr && *number >= 0) return static_cast<std::uint64_t>(*number);
  }
  return key_error(key, "an unsigned integer");
}

template <typename T>
Result<T> GgufFile::get(std::string_view key, std::string_view expected) const {
  const GgufValue* value = find(key);
  const T* held = value == nullptr ? nullptr : std::get_if<T>(value);
  if (held == nullptr) return key_error(key, expected);
  return *held;
}

Result<double> GgufFile::get_float(std::string_view key) const {
  return get<double>(key, "a float");
}

Result<std::string_view> GgufFile::get_string(std::string_view key) const {
  return get<std::string_view>(key, "a string");
}

Result<std::uint64_t> GgufFile::get_uint_or(std::string_view key, std::uint64_t fallback) const {
  if (find(key) == nullptr) return fallback;
  return get_uint(key);
}

Result<double> GgufFile::get_float_or(std::string_view key, double fallback) const {
  if (find(key) == nullptr) return fallback;
  return get_float(key);
}

Result<bool> GgufFile::get_bool_or(std::string_view key, bool fallback) const {
  if (find(key) == nullptr) return fallback;
  return get<bool>(key, "a bool");
}

Result<std::string_view> GgufFile::get_string_or(std::string_view key,
                                                 std::string_view fallback) const {
  if (find(key) == nullptr) return fallback;
  return get_string(key);
}

Result<std::span<const std::string_view>> GgufFile::get_strings(std::string_view key) const {
  const GgufValue* value = find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  const auto* strings =
      array == nullptr ? nullptr : std::get_if<std::vector<std::string_view>>(array);
  if (strings == nullptr) return key_error(key, "an array of strings");
  return std::span<const std::string_view>(*strings);
}

}  // namespace tern::format
