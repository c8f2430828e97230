// The model that is part of the program: models/tern-tales.gguf, as bytes of the executable.
#pragma once

#include <cstddef>
#include <span>

namespace tern::models {

// A whole GGUF file, aligned to 64 bytes, valid for the life of the process.
std::span<const std::byte> embedded_model();

}  // namespace tern::models
