#include "format/gguf/gguf_head.h"

#include "format/gguf/gguf_parser.h"

namespace tern::format {

Result<void> check_gguf_head(std::span<const std::byte> first) {
  TERN_TRY(GgufParser::data_sizes(first));
  return {};
}

}  // namespace tern::format
