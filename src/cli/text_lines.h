// A file of text, line by line: logs are longer than memory.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/file_descriptor.h"
#include "core/result.h"

namespace tern::cli {

class TextLines {
 public:
  // "-" is standard input. Errors: kIo.
  static Result<TextLines> open(const std::string& path);

  struct Line {
    std::string_view text;  // until the next call
    bool has_end = false;   // "\n"; only the last one may have none
  };
  // No value: there are no more. Errors: kIo; kUsage for a line that is too long for one.
  Result<std::optional<Line>> next();

  // "standard input" or the path.
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  FileDescriptor file_;
  std::string buffer_;
  std::size_t begin_ = 0;     // of the next line, in buffer_
  std::size_t searched_ = 0;  // bytes from there on that have no end of a line
  bool at_end_ = false;
};

}  // namespace tern::cli
