// Lines from standard input: edited on a terminal, with arrow keys and the lines before; as they
// come from anything else.
#pragma once

#include <memory>
#include <string>

#include "core/file_descriptor.h"
#include "core/result.h"

namespace tern::cli {

struct InputLine {
  enum class Kind { kText, kEnd, kInterrupted };
  Kind kind;
  std::string text;  // without its line break
};

// By which another thread ends the wait for a line.
class WakePipe {
 public:
  static Result<WakePipe> create();  // Errors: kIo.

  void wake() const;
  int reader() const { return reader_.get(); }
  void drain() const;

 private:
  WakePipe(FileDescriptor reader, FileDescriptor writer)
      : reader_(std::move(reader)), writer_(std::move(writer)) {}

  FileDescriptor reader_;
  FileDescriptor writer_;
};

class LineReader {
 public:
  virtual ~LineReader() = default;
  // kInterrupted where the pipe woke it: the line begun is dropped. Errors: kIo.
  virtual Result<InputLine> read(const std::string& prompt) = 0;
};

// `colour`: whether prompts are coloured. `wake` outlives the reader.
std::unique_ptr<LineReader> make_line_reader(const WakePipe& wake, bool colour);

bool stdin_is_terminal();

}  // namespace tern::cli
