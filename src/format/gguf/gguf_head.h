// How much of a GGUF file must be there for its header, keys and tensor entries to be read.
#pragma once

#include <cstddef>
#include <span>

#include "core/result.h"

namespace tern::format {

// Whether the first bytes of a file hold all that stands before the tensors' bytes. Errors: those
// of GgufFile; of a head that goes on behind `first`, kMalformed, too.
Result<void> check_gguf_head(std::span<const std::byte> first);

}  // namespace tern::format
