// tern list: the models that are on this machine, and the names that stand for models.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/hub_access.h"
#include "cli/printable.h"
#include "cli/streams.h"

namespace tern::cli {
namespace {

namespace json = boost::json;

struct ListOptions {
  bool json = false;
};

double megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

// "hf://org/repo@main", by each name of the revision, else by its commit.
std::vector<std::string> refs_of(const hub::CachedRepo& repo, const hub::CachedRevision& revision) {
  std::vector<std::string> refs;
  for (const std::string& name : revision.names) {
    refs.push_back(hub::ModelRef{repo.repo, name, ""}.to_string());
  }
  if (refs.empty()) refs.push_back(hub::ModelRef{repo.repo, revision.commit, ""}.to_string());
  return refs;
}

std::string list_text(const hub::HubCache& cache, const std::vector<hub::CachedRepo>& repos,
                      const hub::AliasMap& aliases) {
  std::string text;
  std::uint64_t total = 0;
  for (const hub::CachedRepo& repo : repos) {
    total += repo.bytes + repo.part_bytes;
    for (const hub::CachedRevision& revision : repo.revisions) {
      const std::string ref = refs_of(repo, revision).front();
      for (const hub::CachedFile& file : revision.files) {
        text += fmt::format("{:>9.1f} MB  {}/{}\n", megabytes(file.bytes), printable(ref),
                            printable(file.path));
      }
    }
    if (repo.part_bytes != 0) {
      text += fmt::format("{:>9.1f} MB  hf://{}: not finished\n", megabytes(repo.part_bytes),
                          printable(repo.repo));
    }
  }
  text += fmt::format("{:>9.1f} MB  in {}\n", megabytes(total), printable(cache.path().string()));
  for (const auto& [name, ref] : aliases) {
    text += fmt::format("{:<12}  is {}\n", name, printable(ref.to_string()));
  }
  return text;
}

json::object revision_json(const hub::CachedRepo& repo, const hub::CachedRevision& revision) {
  json::array refs;
  for (const std::string& ref : refs_of(repo, revision)) refs.emplace_back(printable(ref));
  json::array files;
  for (const hub::CachedFile& file : revision.files) {
    files.push_back(json::object{{"path", printable(file.path)}, {"bytes", file.bytes}});
  }
  return {{"commit", printable(revision.commit)},
          {"refs", std::move(refs)},
          {"files", std::move(files)}};
}

std::string list_json(const hub::HubCache& cache, const hub::CacheListing& listing,
                      const hub::AliasMap& aliases) {
  json::array listed;
  json::array unread;
  for (const Error& error : listing.unread) unread.emplace_back(printable(error.to_string()));
  for (const hub::CachedRepo& repo : listing.repos) {
    json::array revisions;
    for (const auto& revision : repo.revisions) revisions.push_back(revision_json(repo, revision));
    listed.push_back(json::object{{"repo", printable(repo.repo)},
                                  {"bytes", repo.bytes},
                                  {"unfinished_bytes", repo.part_bytes},
                                  {"revisions", std::move(revisions)}});
  }
  json::object names;
  for (const auto& [name, ref] : aliases) names[name] = ref.to_string();
  const json::object object{{"directory", printable(cache.path().string())},
                            {"models", std::move(listed)},
                            {"unreadable", std::move(unread)},
                            {"names", std::move(names)}};
  return json::serialize(object) + "\n";
}

Result<ExitCode> list(const ListOptions& options, Output& output) {
  TERN_ASSIGN(auto path, hub_cache_path());
  const hub::HubCache cache(std::move(path));
  TERN_ASSIGN(const hub::CacheListing listing, cache.list());
  TERN_ASSIGN(const hub::Aliases aliases, open_aliases());
  TERN_TRY(output.write(options.json ? list_json(cache, listing, aliases.all())
                                     : list_text(cache, listing.repos, aliases.all())));
  for (const Error& error : listing.unread) {
    write_stderr("tern: " + printable(error.to_string()) + "; what is in it is not listed\n");
  }
  return listing.unread.empty() ? ExitCode::kOk : exit_code(listing.unread.front().code);
}

}  // namespace

Command add_list_command(CLI::App& tern) {
  const auto options = std::make_shared<ListOptions>();
  CLI::App* parser = tern.add_subcommand(
      "list",
      "Show models that were downloaded, and names of models.\n"
      "What Hugging Face's own tools brought is shown as well as what `tern pull` did.\n");
  parser->footer("Example: tern list --json | jq -r '.models[].repo'\n");
  parser->add_flag("--json", options->json, "One JSON object instead of text");
  return {parser, [options](Output& output) { return list(*options, output); }};
}

}  // namespace tern::cli
