// tern replay: requests that a server logged with their content, computed again: are the answers
// the same, bit for bit?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <memory>

#include "cli/chosen_template.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/runtime.h"
#include "cli/serve_setup.h"
#include "cli/text_lines.h"
#include "serve/replay.h"

namespace tern::cli {
namespace {

namespace json = boost::json;
using Outcome = serve::Replay::Outcome;

constexpr std::string_view kGzip = "\x1f\x8b";  // how such a file begins

struct CommandOptions {
  std::string log;
  std::string request;  // its id; empty: all
  ServeOptions serve;
  bool json = false;
};

// What became of the requests of a log.
struct Tally {
  std::size_t identical = 0;
  std::size_t different = 0;
  std::size_t not_replayed = 0;
  std::size_t without_content = 0;  // lines
  json::array broken;               // lines, and what is wrong with each
  json::array requests;

  bool is_good() const { return different + not_replayed + broken.size() == 0; }
  void add(const std::string& id, const serve::Replay& replay) {
    const bool same = replay.outcome == Outcome::kIdentical;
    ++(same ? identical : replay.outcome == Outcome::kDifferent ? different : not_replayed);
    requests.push_back({{"request_id", id},
                        {"outcome", same                                    ? "identical"
                                    : replay.outcome == Outcome::kDifferent ? "different"
                                                                            : "not_replayed"},
                        {"choices", replay.choices},
                        {"tokens", replay.tokens},
                        {"why", same ? json::value(nullptr) : json::value(replay.why)}});
  }
};

std::string line_of(const std::string& id, const serve::Replay& replay) {
  const std::string name = printable(id);
  if (replay.outcome == Outcome::kIdentical) {
    return fmt::format("{}: identical, {} answers of {} tokens\n", name, replay.choices,
                       replay.tokens);
  }
  return fmt::format("{}: {}: {}\n", name,
                     replay.outcome == Outcome::kDifferent ? "different" : "not replayed",
                     printable(replay.why));
}

std::string summary(const Tally& tally) {
  std::string text = fmt::format("{} identical, {} different, {} not replayed", tally.identical,
                                 tally.different, tally.not_replayed);
  if (!tally.broken.empty()) text += fmt::format(", {} broken lines", tally.broken.size());
  return text + "\n";
}

struct Log {
  std::vector<serve::LoggedRequest> requests;
  std::size_t without_content = 0;
  std::vector<Error> broken;  // lines
};

Result<std::optional<serve::LoggedRequest>> read_line(std::string_view line, bool has_end) {
  if (has_end) return serve::read_logged_request(line);
  return Error{ErrorCode::kMalformed,
               "the line is cut: it has no end, as when a server dies while it writes", ""};
}

// What is wrong with a log in which there is nothing to replay.
Error nothing_in(const Log& log, const CommandOptions& options, const std::string& name) {
  if (options.request.empty()) {
    if (!log.broken.empty()) return log.broken.front();
    return {ErrorCode::kUsage,
            "expected requests that were logged with --log-prompts, found " +
                std::to_string(log.without_content) + " lines without content",
            name};
  }
  std::string what = "no request \"" + options.request + "\" that was logged with --log-prompts";
  if (!log.broken.empty()) {
    what += "; of what is left, a line is broken: " + log.broken.front().to_string();
  }
  return {ErrorCode::kUsage, std::move(what), name};
}

// Of one request, a line that is broken matters only where it may be that one.
Result<Log> read_log(const CommandOptions& options) {
  TERN_ASSIGN(TextLines lines, TextLines::open(options.log));
  const std::string id = options.request.empty() ? "" : "\"" + options.request + "\"";
  Log log;
  for (std::size_t number = 1;; ++number) {
    TERN_ASSIGN(const std::optional<TextLines::Line> line, lines.next());
    if (!line) break;
    if (number == 1 && line->text.starts_with(kGzip)) {
      return Error{ErrorCode::kUsage,
                   "expected lines of JSON, found a file of gzip: zcat FILE | tern replay -",
                   lines.name()};
    }
    if (line->text.empty()) continue;
    auto read = read_line(line->text, line->has_end);
    if (!read) {
      const std::string where = lines.name() + ": line " + std::to_string(number);
      if (line->text.find(id) == std::string_view::npos) continue;
      log.broken.push_back(in_context(where, std::move(read.error())));
    } else if (!*read) {
      ++log.without_content;
    } else if (options.request.empty() || (*read)->id == options.request) {
      log.requests.push_back(std::move(**read));
    }
  }
  if (log.requests.empty()) return nothing_in(log, options, lines.name());
  return log;
}

// Keys and values for what the log asks for, one request at a time, and not for a server's crowd.
ServeOptions engine_options(const ServeOptions& chosen, const Log& log, const Runtime& runtime) {
  ServeOptions options = chosen;
  std::size_t choices = 1;
  for (const serve::LoggedRequest& request : log.requests) {
    options.context = std::max(options.context, request.context);
    choices = std::max(choices, request.choices.size());
  }
  options.context = std::min(options.context, runtime.model.config().context);
  options.sequences = static_cast<std::uint32_t>(std::min<std::size_t>(choices, chosen.sequences));
  return options;
}

Result<ExitCode> replay(const CommandOptions& options, Output& output) {
  TERN_ASSIGN(const Log log, read_log(options));
  TERN_ASSIGN(const std::string path, model_path(options.serve.model));
  std::stop_source stop;
  const Interrupt interrupt(stop);  // before threads are made
  Progress progress;
  telemetry::Telemetry telemetry;
  TERN_ASSIGN(const Runtime runtime, load_runtime(path, options.serve.compute, true,
                                                  options.serve.head, progress, stop.get_token()));
  progress.clear();
  TERN_ASSIGN(const auto engine,
              make_engine(runtime, engine_options(options.serve, log, runtime), telemetry));
  TERN_ASSIGN(const serve::ServedModel model, make_served_model(runtime, options.serve, *engine));
  Tally tally;
  tally.without_content = log.without_content;
  for (const Error& broken : log.broken) {
    tally.broken.push_back(json::string(printable(broken.to_string())));
    if (!options.json) TERN_TRY(output.write("broken: " + printable(broken.to_string()) + "\n"));
  }
  for (const serve::LoggedRequest& request : log.requests) {
    if (stop.stop_requested()) break;
    const serve::Replay found = serve::replay(request, model, *engine);
    tally.add(request.id, found);
    if (!options.json) TERN_TRY(output.write(line_of(request.id, found)));
  }
  TERN_TRY(output.write(
      options.json ? json::serialize(json::object{{"identical", tally.identical},
                                                  {"different", tally.different},
                                                  {"not_replayed", tally.not_replayed},
                                                  {"lines_without_content", tally.without_content},
                                                  {"broken_lines", tally.broken},
                                                  {"requests", tally.requests}}) +
                         "\n"
                   : summary(tally)));
  if (interrupt.happened()) return ExitCode::kInterrupted;
  return tally.is_good() ? ExitCode::kOk : ExitCode::kDifferent;
}

}  // namespace

Command add_replay_command(CLI::App& tern) {
  const auto options = std::make_shared<CommandOptions>();
  CLI::App* parser = tern.add_subcommand(
      "replay",
      "Answer logged requests again and compare, token by token.\n"
      "The log is one of `tern serve --access-log FILE --log-prompts`; the model, the type of\n"
      "keys and the chat template must be those of the server.\n");
  parser->footer(
      "Examples:\n"
      "  tern replay access.jsonl -m model.gguf\n"
      "  tern replay access.jsonl -m model.gguf --request req-0123456789abcdef01234567\n");
  parser->add_option("LOG", options->log, "The log; -: standard input")
      ->type_name("")
      ->check(not_empty)
      ->required();
  parser->add_option("--request", options->request, "The request of that x-request-id alone")
      ->type_name("ID")
      ->check(not_empty);
  add_model_option(*parser, options->serve.model);
  parser
      ->add_option("--chat-template", options->serve.chat_template,
                   "Instead of the model's own: " + template_choices())
      ->type_name("NAME")
      ->check(not_empty);
  parser
      ->add_option("--kv-memory", options->serve.kv_mib,
                   "MiB for keys and values; 0: enough for the log's longest context, but\n"
                   "at most half of what is free")
      ->type_name("N")
      ->check(CLI::Range(0u, std::uint32_t{1} << 24).description(""))
      ->capture_default_str();
  parser->add_flag("--json", options->json, "One JSON object at the end instead of lines");
  add_compute_options(*parser, options->serve.compute);
  add_head_option(*parser, options->serve.head);
  add_cache_option(*parser, options->serve.compute.cache);
  add_tune_option(*parser, options->serve.compute.tune);
  return {parser, [options](Output& output) { return replay(*options, output); }};
}

}  // namespace tern::cli
