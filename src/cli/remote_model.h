// A GGUF file on a hub's server, of which the head alone is brought: configuration, metadata and
// the list of tensors, without their bytes.
#pragma once

#include <optional>

#include "core/mapped_file.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "hub/model_ref.h"

namespace tern::cli {

struct RemoteModel {
  MappedFile mapping;  // as long as the file; what was not brought reads as zeros: not to be read
  format::GgufFile file;
  std::uint64_t brought_bytes = 0;
};

// The file that the reference means. Ctrl-C ends the process. Errors: those of the hub and of
// GgufFile.
Result<RemoteModel> open_remote_model(const hub::ModelRef& ref);

}  // namespace tern::cli
