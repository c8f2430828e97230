// tern rm: takes models out of the cache, and names of models away.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/hub_access.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/packed_weights.h"
#include "cli/printable.h"

namespace tern::cli {
namespace {

Result<ExitCode> remove(const std::string& model, Output& output) {
  TERN_ASSIGN(const auto ref, model_ref(model));
  if (!ref) {
    return Error{ErrorCode::kUsage,
                 "expected hf://org/repo[@revision][/file], or a name that `tern list` shows; "
                 "other files are not Tern's to remove",
                 model};
  }
  TERN_ASSIGN(const auto path, hub_cache_path());
  const auto removed = hub::HubCache(path).remove(*ref);
  drop_entries_of_gone(path);
  bool had_name = false;
  if (hub::is_alias(model)) {
    TERN_ASSIGN(hub::Aliases aliases, open_aliases());
    TERN_ASSIGN(had_name, aliases.remove(model));
  }
  // A name may have outlived its files.
  if (!removed && !had_name) return removed.error();
  const hub::Removed what = removed ? *removed : hub::Removed();
  TERN_TRY(output.write(
      fmt::format("removed {}: {} files, {:.1f} MB{}\n", printable(ref->to_string()), what.files,
                  static_cast<double>(what.bytes) / 1e6, had_name ? ", and its name" : "")));
  return ExitCode::kOk;
}

}  // namespace

Command add_rm_command(CLI::App& tern) {
  const auto model = std::make_shared<std::string>();
  CLI::App* parser = tern.add_subcommand(
      "rm",
      "Remove a model from the cache.\n"
      "A file, a revision with all of its files, or what a name stands for, and the name. Bytes\n"
      "that another revision needs stay, and so does what another process is bringing. Downloads\n"
      "of that repository that were begun and are not running go, as do packed weights of files\n"
      "that are gone.\n");
  parser->footer(
      "Examples:\n"
      "  tern rm mine\n"
      "  tern rm hf://org/repo@main/model.gguf\n");
  parser->add_option("model", *model, "Name, or hf://org/repo[@revision][/file]")
      ->type_name("MODEL")
      ->check(not_empty)
      ->required();
  return {parser, [model](Output& output) { return remove(*model, output); }};
}

}  // namespace tern::cli
