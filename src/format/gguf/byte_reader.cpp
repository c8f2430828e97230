#include "format/gguf/byte_reader.h"

#include <fmt/format.h>

namespace tern::format {

Result<std::span<const std::byte>> ByteReader::take(std::uint64_t count, std::string_view what) {
  if (count > remaining()) {
    return Error{ErrorCode::kMalformed,
                 fmt::format("the file ends inside {}: expected {} bytes at offset {}, found {}; "
                             "the file is cut or damaged, fetch it again",
                             what, count, offset_, remaining()),
                 ""};
  }
  const auto taken = bytes_.subspan(offset_, count);
  offset_ += count;
  return taken;
}

}  // namespace tern::format
