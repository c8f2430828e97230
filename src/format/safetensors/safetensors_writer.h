// The header of a safetensors file, for who writes the tensors' bytes behind it.
#pragma once

#include <string>
#include <vector>

#include "format/safetensors/safetensors_file.h"

namespace tern::format {

// The header with its length in front. Of each tensor name, type and shape are read, its bytes and
// its offset in the file set: tensors stand end to end in their order, which should be one of
// falling sizes of an element, so that each is aligned.
std::string write_safetensors_header(std::vector<SafetensorsTensor>& tensors);

}  // namespace tern::format
