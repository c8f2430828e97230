// Standard input and output by system call: what is written is out when write() returns, and what
// goes wrong is an Error instead of a lost byte.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::cli {

// Standard output. One thread at a time.
class Output {
 public:
  // Errors: kIo. After the first error nothing more is written and each call fails.
  Result<void> write(std::string_view text);

  bool is_terminal() const;
  // Whether the error was a pipe without a reader: the end of many pipelines, no fault.
  bool reader_gone() const { return reader_gone_; }

 private:
  std::string failure_;
  bool reader_gone_ = false;
};

// Keeps 0, 1 and 2 from being given to the files that the program opens, where a caller closed
// them, and lets a pipe without a reader, or a file at its limit, be an error instead of a signal.
// Call first in main().
void prepare_streams();

// To standard error, as far as that is possible.
void write_stderr(std::string_view text);
bool stderr_is_terminal();

// A file in whole; "-" is standard input. Errors: kIo; kUsage for more than 512 MiB.
Result<std::string> read_all(const std::string& path);

}  // namespace tern::cli
