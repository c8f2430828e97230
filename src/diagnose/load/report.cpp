#include "diagnose/load/report.h"

#include <fmt/format.h>

#include <boost/json.hpp>

namespace tern::diagnose {

namespace json = boost::json;

namespace {

double per_second(const LoadReport& report, std::uint64_t count) {
  const double seconds = report.summary.seconds;
  return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
}

std::string row(std::string_view name, const Spread& spread) {
  if (spread.count == 0) return fmt::format("  {:<16}{:>10}\n", name, "none");
  const auto ms = [](double seconds) { return fmt::format("{:.4g}", 1e3 * seconds); };
  return fmt::format("  {:<16}{:>10}{:>10}{:>10}{:>10}{:>10}\n", name, ms(spread.mean),
                     ms(spread.p50), ms(spread.p95), ms(spread.p99), ms(spread.most));
}

std::string slo_text(const Slo& slo) {
  std::string text;
  if (slo.first_token) text += fmt::format("first token within {:.4g} ms", 1e3 * *slo.first_token);
  if (slo.between_tokens) {
    text += fmt::format("{}{:.4g} ms between tokens in the mean", text.empty() ? "" : ", ",
                        1e3 * *slo.between_tokens);
  }
  return text;
}

std::string load_text(const LoadReport& report) {
  return report.rate ? fmt::format("open loop, {:g} requests/s", *report.rate)
                     : fmt::format("closed loop, {} clients", report.clients);
}

json::object spread_object(const Spread& spread) {
  return {{"count", spread.count}, {"mean", spread.mean}, {"p50", spread.p50},
          {"p95", spread.p95},     {"p99", spread.p99},   {"most", spread.most}};
}

template <typename T>
json::value or_null(const std::optional<T>& value) {
  if (!value) return nullptr;
  return *value;
}

json::object load_object(const LoadReport& report) {
  return {{"loop", report.rate ? "open" : "closed"},
          {"rate", or_null(report.rate)},
          {"clients", report.rate ? json::value(nullptr) : json::value(report.clients)},
          {"seed", report.plan.seed},
          {"chat", report.chat},
          {"prompt", report.plan.prompt.to_string()},
          {"prompt_unit", report.unit},
          {"output", report.plan.output.to_string()},
          {"shared_prefix", report.plan.shared},
          {"prefixes", report.plan.prefixes},
          {"warmup", report.warmup}};
}

}  // namespace

LoadReport make_report(const LoadOptions& options, const LoadOutcome& outcome, std::uint64_t warmup,
                       const Slo& slo) {
  LoadReport report;
  report.url = options.target.url;
  report.model = outcome.model;
  report.unit = outcome.unit;
  report.chat = options.chat;
  report.plan = options.plan;
  report.rate = options.rate;
  report.clients = options.clients;
  report.warmup = warmup;
  report.counted = outcome.counted;
  report.interrupted = outcome.interrupted;
  report.slo = slo;
  report.summary = summarise(outcome, warmup, slo);
  return report;
}

std::string to_text(const LoadReport& report) {
  const LoadSummary& found = report.summary;
  const std::uint64_t all = found.answered + found.failed;
  std::string text =
      fmt::format("{} at {}: {}, seed {}{}\n", report.model, report.url, load_text(report),
                  report.plan.seed, report.interrupted ? ", interrupted" : "");
  text += fmt::format("{} requests in {:.4g} s, {} of them failed; {} before them to warm up\n",
                      all, found.seconds, found.failed, report.warmup);
  text += fmt::format("{:.4g} requests/s, {:.4g} tokens/s out{}, {:.4g} in\n",
                      per_second(report, found.answered), per_second(report, found.output_tokens),
                      report.counted ? "" : " (a piece taken for a token)",
                      per_second(report, found.prompt_tokens));
  text += fmt::format("  {:<16}{:>10}{:>10}{:>10}{:>10}{:>10}\n", "ms", "mean", "p50", "p95", "p99",
                      "most");
  text += row("first token", found.first_token);
  text += row("between tokens", found.between_tokens);
  text += row("whole answer", found.answer);
  text += row("sent too late", found.late);
  if (found.goodput) {
    text += fmt::format("goodput {:.4g} requests/s, {:.1f}% of all: {}\n",
                        found.goodput->requests_per_s, 100 * found.goodput->share,
                        slo_text(report.slo));
  }
  for (const auto& [kind, failures] : found.failures) {
    text += fmt::format("{} {}: {}\n", failures.count, kind, failures.example);
  }
  return text;
}

std::string to_json(const LoadReport& report) {
  const LoadSummary& found = report.summary;
  json::array failures;
  for (const auto& [kind, failure] : found.failures) {
    failures.push_back({{"kind", kind}, {"count", failure.count}, {"example", failure.example}});
  }
  json::value goodput = nullptr;
  if (found.goodput) {
    goodput = {{"requests_per_s", found.goodput->requests_per_s}, {"share", found.goodput->share}};
  }
  const json::object object{{"url", report.url},
                            {"model", report.model},
                            {"load", load_object(report)},
                            {"interrupted", report.interrupted},
                            {"seconds", found.seconds},
                            {"requests",
                             {{"answered", found.answered},
                              {"failed", found.failed},
                              {"answered_per_s", per_second(report, found.answered)}}},
                            {"tokens",
                             {{"counted_by", report.counted ? "server" : "pieces"},
                              {"prompt", found.prompt_tokens},
                              {"output", found.output_tokens},
                              {"output_per_s", per_second(report, found.output_tokens)}}},
                            {"first_token_s", spread_object(found.first_token)},
                            {"between_tokens_s", spread_object(found.between_tokens)},
                            {"answer_s", spread_object(found.answer)},
                            {"late_s", spread_object(found.late)},
                            {"slo",
                             {{"first_token_s", or_null(report.slo.first_token)},
                              {"between_tokens_s", or_null(report.slo.between_tokens)}}},
                            {"goodput", std::move(goodput)},
                            {"failures", std::move(failures)}};
  return json::serialize(object);
}

}  // namespace tern::diagnose
