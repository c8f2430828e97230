// Whether the file of a model that is in use stays what it was.
#pragma once

#include <string>

#include "core/file_descriptor.h"
#include "core/mapped_file.h"
#include "core/result.h"

namespace tern::cli {

// Rows of the embedding and of the head are read from the mapped file for as long as the process
// lives: whoever writes into it changes the answers, and nothing else tells.
class ModelWatch {
 public:
  // Call before the model is loaded; an empty path is the embedded model, which does not change.
  // Errors: kIo.
  static Result<ModelWatch> open(const std::string& path);

  // Whether it is still as it was. Errors: kIo, with what to do.
  Result<void> look() const;

 private:
  std::string path_;
  FileDescriptor file_;
  FileIdentity then_{};
};

}  // namespace tern::cli
