// What `tern chat` shows: answers on standard output, all else on standard error; colours where
// they are wanted, and nothing that could change the terminal.
#pragma once

#include <string>
#include <string_view>

#include "cli/streams.h"
#include "core/result.h"

namespace CLI {  // NOLINT: not ours to name
class App;
}

namespace tern::cli {

enum class ColorUse { kAuto, kAlways, kNever };  // auto: on a terminal, unless NO_COLOR is set

void add_color_option(CLI::App& parser, ColorUse& use);

class ChatConsole {
 public:
  ChatConsole(Output& output, ColorUse use);

  bool colour() const { return colour_; }

  // A piece of an answer, or what a command was asked for. The first error stays in written().
  void write(std::string_view text);
  // Begins a new line, where one is begun.
  void end_line();
  const Result<void>& written() const { return written_; }

  void note(std::string_view text) const;           // a line of its own on standard error
  void error(const Error& error) const;             // "tern: ..."
  std::string strong(std::string_view text) const;  // of our own, for write_own()
  void write_own(std::string_view text);            // may have colours

 private:
  Output& output_;
  bool colour_;
  bool line_begun_ = false;
  Result<void> written_;
};

}  // namespace tern::cli
