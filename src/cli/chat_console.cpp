#include "cli/chat_console.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "cli/one_of.h"
#include "cli/printable.h"

namespace tern::cli {
namespace {

bool is_set(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT: nobody sets it
  return value != nullptr && *value != '\0';
}

bool wants_colour(ColorUse use, const Output& output) {
  if (use != ColorUse::kAuto) return use == ColorUse::kAlways;
  return output.is_terminal() && stderr_is_terminal() && !is_set("NO_COLOR") && is_set("TERM") &&
         std::string_view(std::getenv("TERM")) != "dumb";  // NOLINT: nobody sets it
}

}  // namespace

void add_color_option(CLI::App& parser, ColorUse& use) {
  const std::map<std::string, ColorUse> names{
      {"auto", ColorUse::kAuto}, {"always", ColorUse::kAlways}, {"never", ColorUse::kNever}};
  add_one_of(parser, "--color", use, names,
             "auto: on a terminal, unless NO_COLOR is set; always; never")
      ->type_name("WHEN")
      ->default_str("auto");
}

ChatConsole::ChatConsole(Output& output, ColorUse use)
    : output_(output), colour_(wants_colour(use, output)) {}

void ChatConsole::write(std::string_view text) { write_own(printable_lines(text)); }

void ChatConsole::write_own(std::string_view text) {
  if (!written_ || text.empty()) return;
  line_begun_ = text.back() != '\n';
  written_ = output_.write(text);
}

void ChatConsole::end_line() {
  if (line_begun_) write_own("\n");
}

void ChatConsole::note(std::string_view text) const {
  const std::string line = printable(text);
  write_stderr(colour_ ? "\x1b[2m" + line + "\x1b[0m\n" : line + "\n");
}

void ChatConsole::error(const Error& error) const {
  const std::string line = "tern: " + printable(error.to_string());
  write_stderr(colour_ ? "\x1b[31m" + line + "\x1b[0m\n" : line + "\n");
}

std::string ChatConsole::strong(std::string_view text) const {
  return colour_ ? "\x1b[1m" + std::string(text) + "\x1b[0m" : std::string(text);
}

}  // namespace tern::cli
