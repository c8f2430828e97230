#include "format/safetensors/safetensors_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tern::format {
namespace {

constexpr std::uint64_t kLengthBytes = 8;

}  // namespace

Result<std::uint64_t> safetensors_header_bytes(std::span<const std::byte> first,
                                               std::uint64_t file_bytes,
                                               const std::string& source) {
  const auto malformed = [&](std::string message) {
    return Error{ErrorCode::kMalformed, std::move(message), source};
  };
  if (first.size() < kLengthBytes) {
    return malformed("the file ends inside the length of its header: expected 8 bytes, found " +
                     std::to_string(first.size()));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, first.data(), kLengthBytes);
  if (length < 2) {
    return malformed("expected a header of at least 2 bytes ('{}'), its length says " +
                     std::to_string(length));
  }
  if (length > kMostSafetensorsHeader) {
    return malformed("expected a header of at most 100000000 bytes, its length says " +
                     std::to_string(length) + "; this is not a safetensors file");
  }
  if (length > file_bytes - kLengthBytes) {
    return malformed("the file ends inside its header: expected " + std::to_string(length) +
                     " bytes behind the length, found " +
                     std::to_string(file_bytes - kLengthBytes) + "; the download is cut");
  }
  return length;
}

Result<SafetensorsFile> SafetensorsFile::open(const Folder& folder, const std::string& name) {
  TERN_ASSIGN(auto source, folder.open(name));
  const std::uint64_t size = source->size();
  SafetensorsFile file(name, folder.where(name), std::move(source));
  std::vector<std::byte> first(std::min(size, kLengthBytes));
  TERN_TRY(file.read(0, first));
  TERN_ASSIGN(const std::uint64_t length, safetensors_header_bytes(first, size, file.where_));
  std::vector<std::byte> header(length);
  TERN_TRY(file.read(kLengthBytes, header));
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  TERN_ASSIGN(file.tensors_,
              parse_safetensors_header(text, kLengthBytes + length, size, file.where_));
  return file;
}

}  // namespace tern::format
