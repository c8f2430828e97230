#include "models/embedded_model.h"

extern "C" {
extern const std::byte tern_embedded_model_begin[];  // NOLINT: the names that the assembler exports
extern const std::byte tern_embedded_model_end[];    // NOLINT
}

namespace tern::models {

std::span<const std::byte> embedded_model() {
  return {tern_embedded_model_begin, tern_embedded_model_end};
}

}  // namespace tern::models
