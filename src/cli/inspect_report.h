// What a GGUF file holds, as text and as JSON.
#pragma once

#include <string>

#include "format/gguf/gguf_file.h"

namespace tern::cli {

std::string inspect_text(const format::GgufFile& file, bool tensors);

// The object that docs/cli.md describes.
std::string inspect_json(const format::GgufFile& file, bool tensors);

}  // namespace tern::cli
