// tern cache: shows and removes what loading has put on disk.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/packed_weights.h"
#include "cli/printable.h"
#include "text/utf8.h"

namespace tern::cli {
namespace {

struct CacheOptions {
  std::string model;  // empty: all
  bool json = false;
};

double megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

std::string model_of(const CacheListing& entry) {
  return entry.label ? entry.label->subject : "(damaged, or of another version)";
}

boost::json::object to_json(const CacheListing& entry) {
  const std::chrono::duration<double> used = entry.last_use.time_since_epoch();
  boost::json::object object;
  object["key"] = entry.key;
  object["model"] =
      entry.label ? boost::json::value(text::replace_invalid_utf8(entry.label->subject)) : nullptr;
  object["layout"] = entry.label ? boost::json::value(entry.label->variant) : nullptr;
  object["bytes"] = entry.bytes;
  object["last_use"] = used.count();
  return object;
}

std::string list_json(const CacheDir& cache, const std::vector<CacheListing>& entries) {
  boost::json::array listed;
  for (const CacheListing& entry : entries) listed.push_back(to_json(entry));
  boost::json::object object;
  object["directory"] = text::replace_invalid_utf8(cache.path().string());
  object["budget_bytes"] = kCacheBudget;
  object["entries"] = std::move(listed);
  return boost::json::serialize(object) + "\n";
}

std::string list_text(const CacheDir& cache, const std::vector<CacheListing>& entries) {
  std::string text;
  std::uint64_t total = 0;
  for (const CacheListing& entry : entries) {
    total += entry.bytes;
    text += fmt::format(
        "{:>9.1f} MB  {:%Y-%m-%d %H:%M:%S} UTC  {:<12}  {}\n", megabytes(entry.bytes),
        fmt::gmtime(std::chrono::system_clock::to_time_t(entry.last_use)),
        printable(entry.label ? entry.label->variant : "-"), printable(model_of(entry)));
  }
  return text + fmt::format("{:>9.1f} MB  in {} entries of {}\n", megabytes(total), entries.size(),
                            printable(cache.path().string()));
}

Result<ExitCode> list(const CacheOptions& options, Output& output) {
  TERN_ASSIGN(const CacheDir cache, open_cache_dir());
  TERN_ASSIGN(const auto entries, cache.list());
  TERN_TRY(output.write(options.json ? list_json(cache, entries) : list_text(cache, entries)));
  return ExitCode::kOk;
}

Result<ExitCode> clear(const CacheOptions& options, Output& output) {
  TERN_ASSIGN(CacheDir cache, open_cache_dir());
  TERN_ASSIGN(const auto entries, cache.list());
  TERN_ASSIGN(const std::string path, model_path(options.model));
  const std::string subject = path.empty() ? "" : cache_subject(path);
  boost::json::array removed;
  boost::json::array in_use;
  std::string text;
  for (const CacheListing& entry : entries) {
    if (!subject.empty() && (!entry.label || entry.label->subject != subject)) continue;
    TERN_ASSIGN(const bool gone, cache.remove(entry.key));
    (gone ? removed : in_use).push_back(to_json(entry));
    text += fmt::format("{} {:.1f} MB of {}\n",
                        gone ? "removed" : "in use, kept:", megabytes(entry.bytes),
                        printable(model_of(entry)));
  }
  if (text.empty()) text = "nothing to remove\n";
  if (options.json) {
    boost::json::object object;
    object["removed"] = std::move(removed);
    object["in_use"] = std::move(in_use);
    text = boost::json::serialize(object) + "\n";
  }
  TERN_TRY(output.write(text));
  return ExitCode::kOk;
}

}  // namespace

Command add_cache_command(CLI::App& tern) {
  const auto options = std::make_shared<CacheOptions>();
  CLI::App* parser = tern.add_subcommand(
      "cache",
      "Show or remove what loading keeps on disk for a quick next start.\n"
      "The directory is $TERN_CACHE_DIR, else $XDG_CACHE_HOME/tern, else ~/.cache/tern.\n");
  parser->footer(
      "Examples:\n"
      "  tern cache ls\n"
      "  tern cache clear -m model.gguf\n");
  parser->require_subcommand(1);
  CLI::App* ls = parser->add_subcommand("ls", "The entries, the least recently used first");
  CLI::App* remove =
      parser->add_subcommand("clear", "Removes entries; those that a process reads are kept");
  remove->add_option("-m,--model", options->model, "Only what was made from this file")
      ->type_name("MODEL")
      ->check(not_empty);
  for (CLI::App* command : {ls, remove}) {
    command->add_flag("--json", options->json, "One JSON object instead of text");
  }
  return {parser, [options, ls](Output& output) {
            return ls->parsed() ? list(*options, output) : clear(*options, output);
          }};
}

}  // namespace tern::cli
