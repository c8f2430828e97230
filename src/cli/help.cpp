#include "cli/help.h"

#include <sstream>
#include <string>

namespace tern::cli {
namespace {

class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(26);
    label("SUBCOMMAND", "COMMAND");
  }

  // The first line of what the command says of itself.
  std::string make_subcommand(const CLI::App* command) const override {
    const std::string about = command->get_description();
    std::stringstream out;
    CLI::detail::format_help(out, command->get_name(), about.substr(0, about.find('\n')),
                             get_column_width());
    return out.str();
  }

  // "N (-1)": the value's name and its default, without exclusions.
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";
    const std::string fallback = option->get_default_str();
    std::string out = " " + option->get_type_name();
    if (!fallback.empty()) out += " (" + fallback + ")";
    return out;
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> help_formatter() { return std::make_shared<HelpFormatter>(); }

}  // namespace tern::cli
