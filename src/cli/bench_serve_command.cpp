// tern bench-serve: how a server fares under a load.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/descriptors.h"
#include "cli/environment.h"
#include "cli/in_range.h"
#include "cli/interrupt.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "core/atomic_file.h"
#include "diagnose/load/picture.h"
#include "diagnose/load/report.h"

namespace tern::cli {
namespace {

struct CommandOptions {
  std::string url;
  std::string model;
  bool chat = false;
  std::optional<double> rate;
  std::uint32_t clients = 1;
  std::optional<std::uint64_t> requests;
  std::optional<double> seconds;
  std::uint64_t warmup = 0;
  std::string prompt = "128";
  std::string output = "64";
  std::uint32_t shared = 0;
  std::uint32_t prefixes = 1;
  std::int64_t seed = 1;
  double temperature = 0.0;
  bool may_end = false;
  std::uint32_t timeout = 600;
  std::optional<double> slo_first_ms;
  std::optional<double> slo_between_ms;
  bool json = false;
  std::string picture;
};

constexpr std::uint64_t kRequests = 100;  // where neither a number nor a time is given
// One less than the largest: what the parser makes of any larger number.
constexpr std::int64_t kMostSeed = std::numeric_limits<std::int64_t>::max() - 1;

Result<diagnose::LoadOptions> load_options(const CommandOptions& chosen) {
  diagnose::LoadOptions options;
  TERN_ASSIGN(options.target, net::find_target(chosen.url, variable("SSL_CERT_FILE")));
  // As clients of OpenAI have it for their base URL; all paths that are asked begin with it.
  constexpr std::string_view kVersionPath = "/v1";
  std::string& prefix = options.target.prefix;
  if (prefix.ends_with(kVersionPath)) prefix.resize(prefix.size() - kVersionPath.size());
  const char* key = std::getenv("TERN_API_KEY");  // NOLINT: before there are threads
  if (key != nullptr) options.api_key = key;
  if (std::ranges::any_of(options.api_key, [](char c) { return c < '!' || c > '~'; })) {
    return Error{ErrorCode::kUsage,
                 "expected a key of visible characters, found another one (it is not shown)",
                 "TERN_API_KEY"};
  }
  options.model = chosen.model;
  options.chat = chosen.chat;
  options.temperature = chosen.temperature;
  options.ignore_end = !chosen.may_end;
  options.plan.seed = static_cast<std::uint64_t>(chosen.seed);
  options.plan.shared = chosen.shared;
  options.plan.prefixes = chosen.prefixes;
  auto prompt = diagnose::parse_lengths(chosen.prompt);
  if (!prompt) return in_context("--prompt", std::move(prompt.error()));
  options.plan.prompt = *prompt;
  auto output = diagnose::parse_lengths(chosen.output);
  if (!output) return in_context("--output", std::move(output.error()));
  options.plan.output = *output;
  options.rate = chosen.rate;
  options.clients = chosen.clients;
  options.requests = chosen.requests;
  if (!chosen.requests && !chosen.seconds) options.requests = kRequests;
  if (options.requests && chosen.warmup >= *options.requests) {
    return Error{ErrorCode::kUsage,
                 "expected fewer than the " + std::to_string(*options.requests) +
                     " of --requests, or there is nothing to report; found " +
                     std::to_string(chosen.warmup),
                 "--warmup"};
  }
  options.seconds = chosen.seconds;
  options.timeout = std::chrono::seconds(chosen.timeout);
  return options;
}

// Before the load: that there is no place for it is better known then.
Result<std::optional<AtomicFile>> open_picture(const std::string& path) {
  if (path.empty()) return std::optional<AtomicFile>();
  TERN_ASSIGN(AtomicFile file, AtomicFile::create(path));
  return std::optional(std::move(file));
}

Result<void> write_picture(std::optional<AtomicFile> file, const std::string& svg) {
  if (!file) return {};
  TERN_TRY(file->write(std::as_bytes(std::span(svg))));
  return file->commit();
}

diagnose::Slo slo_of(const CommandOptions& chosen) {
  diagnose::Slo slo;
  if (chosen.slo_first_ms) slo.first_token = *chosen.slo_first_ms / 1e3;
  if (chosen.slo_between_ms) slo.between_tokens = *chosen.slo_between_ms / 1e3;
  return slo;
}

Result<ExitCode> bench_serve(const CommandOptions& chosen, Output& output) {
  std::stop_source stop;
  const Interrupt interrupt(stop);
  Progress progress;
  TERN_ASSIGN(diagnose::LoadOptions options, load_options(chosen));
  TERN_ASSIGN(std::optional<AtomicFile> picture, open_picture(chosen.picture));
  raise_descriptors();  // a connection each; what it does not give shows as failed ones
  options.stop = stop.get_token();
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.show("load", done, total);
  };
  TERN_ASSIGN(const diagnose::LoadOutcome outcome, diagnose::run_load(options));
  progress.clear();
  diagnose::LoadReport report =
      diagnose::make_report(options, outcome, chosen.warmup, slo_of(chosen));
  report.url = printable(report.url);
  report.model = printable(report.model);
  for (auto& [kind, failures] : report.summary.failures) {
    failures.example = printable(failures.example);
  }
  TERN_TRY(write_picture(std::move(picture), draw_load(outcome, report)));
  TERN_TRY(output.write(chosen.json ? to_json(report) + "\n" : to_text(report)));
  if (interrupt.happened()) return ExitCode::kInterrupted;
  if (report.summary.answered + report.summary.failed == 0) {
    return Error{ErrorCode::kUsage,
                 fmt::format("expected requests to report, found none beside {} to warm up; choose "
                             "a longer --duration, or a smaller --warmup",
                             outcome.requests.size()),
                 chosen.url};
  }
  if (report.summary.answered > 0 || report.summary.failed == 0) return ExitCode::kOk;
  return Error{ErrorCode::kIo,
               "none of " + std::to_string(report.summary.failed) + " requests was answered; " +
                   report.summary.failures.begin()->first + ": " +
                   report.summary.failures.begin()->second.example,
               chosen.url};
}

template <typename T>
CLI::Option* add_number(CLI::App& parser, const char* name, T& value, double least, double most,
                        const char* about) {
  return parser.add_option(name, value, about)->type_name("N")->check(in_range(least, most));
}

void add_load_options(CLI::App& parser, CommandOptions& options) {
  CLI::Option* rate = add_number(parser, "--rate", options.rate, 1e-3, 1e5,
                                 "Open loop: so many requests a second on the average, at random\n"
                                 "times (Poisson), whatever the server does");
  add_number(parser, "--clients", options.clients, 1, 1e5,
             "Closed loop: so many clients, each of which waits for its answer")
      ->capture_default_str()
      ->excludes(rate);
  CLI::Option* requests =
      add_number(parser, "--requests", options.requests, 1, 1e9,
                 "So many requests, warm-up included; 100 where there is no --duration");
  add_number(parser, "--duration", options.seconds, 1e-3, 1e6,
             "Send requests for so many seconds; those on their way are waited for")
      ->excludes(requests);
  add_number(parser, "--warmup", options.warmup, 0, 1e9,
             "The first N requests are no part of the figures")
      ->capture_default_str();
  parser
      .add_option("--prompt", options.prompt,
                  "Lengths of prompts: N, uniform:LEAST-MOST or lognormal:MEDIAN,SIGMA,MOST;\n"
                  "in tokens, or in words: of chats, and where the server has no /tokenize")
      ->type_name("LENGTHS")
      ->capture_default_str();
  parser.add_option("--output", options.output, "Lengths of answers, in tokens, likewise")
      ->type_name("LENGTHS")
      ->capture_default_str();
  add_number(parser, "--shared-prefix", options.shared, 0, 1 << 24,
             "Tokens or words before each prompt that it shares with others")
      ->capture_default_str();
  add_number(parser, "--prefixes", options.prefixes, 1, 1 << 24,
             "How many such beginnings there are")
      ->capture_default_str();
  parser.add_option("--seed", options.seed, "The same seed is the same load")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, kMostSeed).description(""))
      ->capture_default_str();
}

void add_request_options(CLI::App& parser, CommandOptions& options) {
  parser
      .add_option("--model", options.model,
                  "What requests call the model; without it the first that the server lists")
      ->type_name("NAME")
      ->check(not_empty);
  parser.add_flag("--chat", options.chat, "Chats instead of completions");
  add_number(parser, "--temp", options.temperature, 0, 2, "Temperature of the answers")
      ->capture_default_str();
  parser.add_flag("--may-end", options.may_end,
                  "Answers may end before their length; without it they are asked not to\n"
                  "(ignore_eos, which not every server knows)");
  add_number(parser, "--timeout", options.timeout, 1, 1e6,
             "Seconds after which a request has failed")
      ->capture_default_str();
}

void add_report_options(CLI::App& parser, CommandOptions& options) {
  add_number(parser, "--slo-ttft", options.slo_first_ms, 1e-3, 1e9,
             "Milliseconds that a request served well waits for its first token");
  add_number(parser, "--slo-itl", options.slo_between_ms, 1e-3, 1e9,
             "And between tokens, in the mean");
  parser.add_flag("--json", options.json, "One JSON object instead of text");
  parser.add_option("--picture", options.picture, "Draw what happened into an SVG file")
      ->type_name("FILE")
      ->check(not_empty);
}

}  // namespace

Command add_bench_serve_command(CLI::App& tern) {
  const auto options = std::make_shared<CommandOptions>();
  CLI::App* parser = tern.add_subcommand(
      "bench-serve",
      "Measure a server that answers OpenAI's clients under load.\n"
      "Requests are streamed; waits count from when a request was to be sent, not from when it\n"
      "was. An API key is taken from $TERN_API_KEY. Ctrl-C ends it with what there is.\n");
  parser->footer(
      "Examples:\n"
      "  tern bench-serve http://127.0.0.1:8080 --clients 16\n"
      "  tern bench-serve unix:/run/tern.sock --rate 4 --duration 60 --warmup 20 \\\n"
      "       --prompt lognormal:400,0.8,4000 --output uniform:16-256 --slo-ttft 500 --slo-itl 80\n"
      "  tern bench-serve http://server:8080 --rate 2 --json --picture load.svg > load.json\n");
  parser->add_option("URL", options->url, "http://HOST:PORT, https:// or unix:PATH")
      ->type_name("")
      ->required();
  add_load_options(*parser, *options);
  add_request_options(*parser, *options);
  add_report_options(*parser, *options);
  return {parser, [options](Output& output) { return bench_serve(*options, output); }};
}

}  // namespace tern::cli
