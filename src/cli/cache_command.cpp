// tern cache: shows and removes what loading has put on disk.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  std::string text = entry.label        ? printable(entry.label->subject)
                     : entry.unfinished ? "(unknown)"
                                        : "(damaged, or of another version)";
  if (entry.subject_gone) text += " (gone)";
  if (entry.unfinished) text += " (unfinished)";
  return text;
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
  object["gone"] = entry.subject_gone;
  object["unfinished"] = entry.unfinished;
  return object;
}

std::string list_json(const std::filesystem::path& path, const std::vector<CacheListing>& entries,
                      std::uint64_t budget) {
  boost::json::array listed;
  for (const CacheListing& entry : entries) listed.push_back(to_json(entry));
  boost::json::object object;
  object["directory"] = text::replace_invalid_utf8(path.string());
  object["budget_bytes"] = budget;
  object["entries"] = std::move(listed);
  return boost::json::serialize(object) + "\n";
}

std::string list_text(const std::filesystem::path& path, const std::vector<CacheListing>& entries,
                      std::uint64_t budget) {
  std::string text;
  std::uint64_t total = 0;
  for (const CacheListing& entry : entries) {
    total += entry.bytes;
    text +=
        fmt::format("{:>9.1f} MB  {:%Y-%m-%d %H:%M:%S} UTC  {:<12}  {}\n", megabytes(entry.bytes),
                    fmt::gmtime(std::chrono::system_clock::to_time_t(entry.last_use)),
                    printable(entry.label ? entry.label->variant : "-"), model_of(entry));
  }
  return text + fmt::format("{:>9.1f} MB  in {} entries of {}, at most {:.1f} MB\n",
                            megabytes(total), entries.size(), printable(path.string()),
                            megabytes(budget));
}

// Nothing where there is no directory.
Result<std::vector<CacheListing>> listed(const std::optional<CacheDir>& cache) {
  if (!cache) return std::vector<CacheListing>();
  return cache->list();
}

Result<ExitCode> list(const CacheOptions& options, Output& output) {
  TERN_ASSIGN(const std::filesystem::path path, cache_path());
  TERN_ASSIGN(const auto cache, open_existing_cache_dir());
  TERN_ASSIGN(const auto entries, listed(cache));
  TERN_ASSIGN(const std::uint64_t budget, cache_budget());
  TERN_TRY(output.write(options.json ? list_json(path, entries, budget)
                                     : list_text(path, entries, budget)));
  return ExitCode::kOk;
}

// What entries of that model have as their subject. Nobody is asked for a file of a hub: no value
// where it is not on this machine.
Result<std::optional<std::string>> subject_of(const std::string& model) {
  TERN_ASSIGN(const auto ref, model_ref(model));
  if (!ref) return std::optional(cache_subject(model));
  TERN_ASSIGN(const auto path, cached_model(*ref));
  return path ? std::optional(cache_subject(*path)) : std::nullopt;
}

// What became of each entry, for both kinds of output.
struct Cleared {
  boost::json::array removed;
  boost::json::array in_use;
  boost::json::array failed;
  std::string text;

  void add(const CacheListing& entry, const Result<bool>& gone) {
    boost::json::object object = to_json(entry);
    std::string_view what = "removed";
    std::string reason;
    if (!gone) {
      what = "not removed:";
      reason = ": " + gone.error().to_string();
      object["error"] = text::replace_invalid_utf8(gone.error().to_string());
      failed.push_back(std::move(object));
    } else if (!*gone) {
      what = "in use, kept:";
      in_use.push_back(std::move(object));
    } else {
      removed.push_back(std::move(object));
    }
    text += fmt::format("{} {:.1f} MB of {}{}\n", what, megabytes(entry.bytes), model_of(entry),
                        printable(reason));
  }
};

Result<Cleared> remove_entries(const std::string& model) {
  Cleared cleared;
  TERN_ASSIGN(auto cache, open_existing_cache_dir());
  TERN_ASSIGN(const auto entries, listed(cache));
  std::optional<std::string> subject;
  if (!model.empty()) {
    TERN_ASSIGN(subject, subject_of(model));
    if (!subject) return cleared;
  }
  for (const CacheListing& entry : entries) {
    if (subject && (!entry.label || entry.label->subject != *subject)) continue;
    cleared.add(entry, cache->remove(entry));
  }
  return cleared;
}

Result<ExitCode> clear(const CacheOptions& options, Output& output) {
  TERN_ASSIGN(Cleared cleared, remove_entries(options.model));
  const std::size_t failed = cleared.failed.size();
  std::string text = cleared.text.empty() ? "nothing to remove\n" : cleared.text;
  if (options.json) {
    boost::json::object object;
    object["removed"] = std::move(cleared.removed);
    object["in_use"] = std::move(cleared.in_use);
    object["failed"] = std::move(cleared.failed);
    text = boost::json::serialize(object) + "\n";
  }
  TERN_TRY(output.write(text));
  if (failed == 0) return ExitCode::kOk;
  return Error{ErrorCode::kIo, "could not remove " + std::to_string(failed) + " of the entries",
               "tern cache clear"};
}

}  // namespace

Command add_cache_command(CLI::App& tern) {
  const auto options = std::make_shared<CacheOptions>();
  CLI::App* parser = tern.add_subcommand(
      "cache",
      "Show or remove what loading keeps on disk for a quick next start.\n"
      "The directory is $TERN_CACHE_DIR, else $XDG_CACHE_HOME/tern, else ~/.cache/tern.\n"
      "It may take $TERN_CACHE_BUDGET MiB, else 32 GiB.\n");
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
