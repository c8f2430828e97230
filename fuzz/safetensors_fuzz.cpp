// Feeds any bytes to the reader of safetensors headers, and their text to that of indexes.
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>

#include "check.h"
#include "format/safetensors/checkpoint.h"

namespace {

using namespace tern::format;
using tern::fuzz::require;

void read_file(std::span<const std::byte> bytes) {
  const std::string source = "fuzz";
  const auto length = safetensors_header_bytes(bytes.first(bytes.size() < 8 ? bytes.size() : 8),
                                               bytes.size(), source);
  if (!length.ok()) return;
  require(*length <= bytes.size() - 8);
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + 8, *length);
  const auto tensors = parse_safetensors_header(header, 8 + *length, bytes.size(), source);
  if (!tensors.ok()) {
    require(!tensors.error().message.empty() && tensors.error().context.rfind("fuzz", 0) == 0);
    return;
  }
  // Every byte behind the header belongs to exactly one tensor.
  std::uint64_t at = 8 + *length;
  std::set<std::string> names;
  for (const SafetensorsTensor& tensor : *tensors) {
    require(tensor.offset == at && names.insert(tensor.name).second);
    std::uint64_t elements = 1;
    for (const std::uint64_t dimension : tensor.shape) elements *= dimension;
    require(elements == tensor.elements() && tensor.bytes == elements * element_bytes(tensor.type));
    at += tensor.bytes;
  }
  require(at == bytes.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  read_file(bytes);
  const auto index =
      parse_safetensors_index(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  if (index.ok()) {
    require(!index->empty());
    for (const auto& [tensor, file] : *index) require(file.find('/') == std::string::npos);
  }
  return 0;
}
