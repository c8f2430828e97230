// tern pull: models from a hub into the cache.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <memory>

#include "cli/command.h"
#include "cli/hub_access.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"

namespace tern::cli {
namespace {

struct PullOptions {
  std::string model;
  std::vector<std::string> include;
  std::string alias;
  bool json = false;
};

std::string pulled_text(const hub::ModelRef& ref, const hub::Pulled& pulled, double seconds) {
  std::string text = fmt::format("{}: {} files, {:.1f} MB, {:.1f} MB brought in {:.1f} s\n",
                                 printable(ref.to_string()), pulled.files.size(),
                                 static_cast<double>(pulled.bytes) / 1e6,
                                 static_cast<double>(pulled.fetched_bytes) / 1e6, seconds);
  if (pulled.resumed_bytes != 0) {
    text += fmt::format("tern: {:.1f} MB were there from an earlier call\n",
                        static_cast<double>(pulled.resumed_bytes) / 1e6);
  }
  return text;
}

std::string pulled_json(const hub::ModelRef& ref, const hub::Pulled& pulled) {
  boost::json::array files;
  for (const std::string& file : pulled.files) files.emplace_back(file);
  boost::json::object object;
  object["model"] = ref.to_string();
  object["commit"] = pulled.commit;
  object["folder"] = printable(pulled.snapshot.string());
  object["files"] = std::move(files);
  object["bytes"] = pulled.bytes;
  object["fetched_bytes"] = pulled.fetched_bytes;
  object["resumed_bytes"] = pulled.resumed_bytes;
  return boost::json::serialize(object) + "\n";
}

// The reference, and where the name that it is to get will stand.
Result<hub::ModelRef> wanted_ref(const PullOptions& options) {
  if (!options.alias.empty() && !hub::is_alias(options.alias)) {
    return Error{ErrorCode::kUsage, "expected a name of letters, digits, '-', '_', '.' and ':'",
                 options.alias};
  }
  TERN_ASSIGN(const auto ref, model_ref(options.model));
  if (ref) return *ref;
  return Error{ErrorCode::kUsage,
               "expected hf://org/repo[@revision][/file], or a name that `tern list` shows",
               options.model};
}

Result<ExitCode> pull(const PullOptions& options, Output& output) {
  const auto start = std::chrono::steady_clock::now();
  TERN_ASSIGN(const hub::ModelRef ref, wanted_ref(options));
  std::stop_source stop;
  Interrupt interrupt(stop);  // before threads are made
  const auto brought = [&]() -> Result<hub::Pulled> {
    TERN_ASSIGN(const auto hub, open_hub(stop.get_token()));
    TERN_ASSIGN(const hub::RemoteRevision revision, hub->look_up(ref));
    TERN_ASSIGN(const auto wanted, hub::select(revision, options.include));
    return pull_files(*hub, revision, wanted);
  }();
  if (!brought && interrupt.happened()) {
    write_stderr(fmt::format("tern: {}: interrupted; the same command goes on from here\n",
                             printable(ref.to_string())));
    return ExitCode::kInterrupted;
  }
  if (!brought) return brought.error();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (!options.alias.empty()) {
    TERN_ASSIGN(hub::Aliases aliases, open_aliases());
    TERN_TRY(aliases.set(options.alias, ref));
  }
  write_stderr("tern: " + pulled_text(ref, *brought, seconds.count()));
  TERN_TRY(output.write(options.json ? pulled_json(ref, *brought)
                                     : printable(brought->snapshot.string()) + "\n"));
  return ExitCode::kOk;
}

}  // namespace

Command add_pull_command(CLI::App& tern) {
  const auto options = std::make_shared<PullOptions>();
  CLI::App* parser = tern.add_subcommand(
      "pull",
      "Download a model from Hugging Face.\n"
      "By ranges, several at once; what was interrupted goes on with the same command; nothing "
      "appears\nunless its hash is right. Files go to the cache that Hugging Face's own tools "
      "use, and -m takes\nthe same names. HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE and "
      "HF_HUB_OFFLINE mean what they\nmean there.\n");
  parser->footer(
      "Examples:\n"
      "  tern pull bitnet-2b-4t && tern run -m bitnet-2b-4t \"Hello\"\n"
      "  tern pull hf://org/repo --include '*i2_s.gguf' --as mine\n"
      "  tern pull hf://org/repo@v1.0/model.gguf\n");
  parser->add_option("model", options->model, "Name, or hf://org/repo[@revision][/file]")
      ->type_name("MODEL")
      ->check(not_empty)
      ->required();
  parser
      ->add_option("--include", options->include,
                   "Of the files only those that match, as a shell has it; can be given\n"
                   "repeatedly")
      ->type_name("PATTERN")
      ->check(not_empty)
      ->allow_extra_args(false);
  parser->add_option("--as", options->alias, "A name for it from now on")
      ->type_name("NAME")
      ->check(not_empty);
  parser->add_flag("--json", options->json, "One JSON object instead of the folder's path");
  return {parser, [options](Output& output) { return pull(*options, output); }};
}

}  // namespace tern::cli
