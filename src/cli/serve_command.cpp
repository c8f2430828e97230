// tern serve: what it was told, and then one of four things: keys, settings, a check, or service.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/key_file.h"
#include "cli/one_of.h"
#include "cli/serve_config.h"
#include "cli/serve_process.h"
#include "serve/api_keys.h"

namespace tern::cli {
namespace {

struct Asked {
  ServeOptions unchecked;  // as the command line alone has it
  std::string config;
  bool print_config = false;
  bool check = false;
  std::string make_key;
};

// Its table to standard output, for a file; the key itself to the terminal.
Result<ExitCode> make_key(const std::string& name, Output& output) {
  const std::string key = serve::make_api_key();
  TERN_ASSIGN(const std::string table, key_table(name, key));
  TERN_TRY(output.write(table));
  write_stderr("tern: the key of " + name + ", which is kept nowhere: " + key + "\n");
  return ExitCode::kOk;
}

Result<ExitCode> run(const Asked& asked, const CLI::App& parser, Output& output) {
  if (!asked.make_key.empty()) return make_key(asked.make_key, output);
  const GivenOptions given = given_options(parser);
  TERN_ASSIGN(ServeConfig config, make_config(given, asked.config));
  if (asked.print_config) {
    TERN_TRY(output.write(to_toml(config)));
    return ExitCode::kOk;
  }
  if (asked.check) {
    TERN_TRY(check_start(config.options, asked.config));
    write_stderr("tern: the settings are good\n");
    return ExitCode::kOk;
  }
  TERN_TRY(serve(std::move(config), given, asked.config));
  return ExitCode::kOk;
}

}  // namespace

Command add_serve_command(CLI::App& tern) {
  const auto asked = std::make_shared<Asked>();
  CLI::App* parser = add_serve_options(tern, asked->unchecked);
  parser
      ->add_option("--config", asked->config,
                   "Settings in TOML: each option by its name, without the dashes. What the\n"
                   "command line says goes before it. SIGHUP reads it again")
      ->type_name("FILE")
      ->check(not_empty)
      ->configurable(false);
  parser->add_flag("--print-config", asked->print_config, "Print all settings as such a file")
      ->configurable(false);
  parser
      ->add_flag("--check", asked->check,
                 "Check settings, keys, certificates, log, tier and the model's head, and\n"
                 "end: before a start or a reload")
      ->configurable(false);
  parser
      ->add_option("--make-key", asked->make_key,
                   "Make an API key: print its table for --api-keys, and the key to standard\n"
                   "error")
      ->type_name("NAME")
      ->check(not_empty)
      ->configurable(false);
  return {parser, [asked, parser](Output& output) { return run(*asked, *parser, output); }};
}

}  // namespace tern::cli
