// A name for what a model file holds, found without reading all of it: for caches of what is made
// from a file. Its inode, size, times of modification and of change, header, and blocks all over
// its tensors go into it. Nobody can set the time of change back.
#pragma once

#include <optional>
#include <string>

#include "format/gguf/gguf_file.h"

namespace tern::format {

// Of what the file holds alone: the same for a copy, and for bytes that are no file. Size, header
// and those blocks. 64 hexadecimal digits.
std::string content_fingerprint(const GgufFile& file);

// 64 hexadecimal digits; no value for bytes that are no file.
std::optional<std::string> fingerprint(const GgufFile& file);

}  // namespace tern::format
