#include "cli/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "core/machine.h"

namespace tern::cli {
namespace {

namespace json = boost::json;

std::string in_words(engine::EndReason reason) {
  std::string words(engine::name(reason));
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

std::string rate_and_share(const RunReport& report) {
  if (!report.tokens_per_second) return "nothing decoded";
  const std::string rate = fmt::format("{:.1f} tok/s", *report.tokens_per_second);
  if (!report.share) return rate + ", limit not measurable";
  const int digits = *report.share < 0.1 ? 1 : 0;
  return rate + fmt::format(", {:.{}f}% of this machine's limit", 100.0 * *report.share, digits);
}

template <typename T>
json::value or_null(const std::optional<T>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::value head_value(const RunReport& report) {
  const model::HeadReport& head = report.runtime->model.head();
  const engine::Generation& generation = *report.generation;
  json::value rows = nullptr;  // where all logits were asked for
  if (generation.searches > 0) {
    rows = static_cast<double>(generation.head_rows) / static_cast<double>(generation.searches);
  }
  return {{"mode", head.certified ? "certified" : "exact"},
          {"copy_bytes", head.copy_bytes},
          {"exact_rows_per_token", std::move(rows)}};
}

json::value limit_value(const RunReport& report) {
  if (!report.limit) return nullptr;
  return {{"share", or_null(report.share)},
          {"tokens_per_second", report.limit->tokens_per_second},
          {"bytes_per_token", report.limit->bytes_per_token},
          {"bytes_per_second", report.limit->bytes_per_second}};
}

}  // namespace

RunReport make_report(const Runtime& runtime, const engine::Sequence& sequence, std::uint64_t seed,
                      const engine::Generation& generation) {
  RunReport report{&runtime, &generation, sequence.context(), sequence.kv_type(), seed, 0, {},
                   {},       {}};
  report.steps = sequence.tokens().size() - generation.prompt_tokens;
  if (report.steps == 0 || generation.decode_seconds <= 0.0) return report;
  report.tokens_per_second = static_cast<double>(report.steps) / generation.decode_seconds;
  const std::uint64_t bytes = generation.searches > 0 ? runtime.model.search_bytes_per_token()
                                                      : runtime.model.bytes_per_token();
  if (auto limit = measure_limit(runtime.model, bytes, sequence.kv_type(), generation.prompt_tokens,
                                 report.steps)) {
    report.limit = *limit;
    const double share = *report.tokens_per_second / limit->tokens_per_second;
    if (share <= 1.0) report.share = share;
  }
  return report;
}

std::string to_line(const RunReport& report) {
  const engine::Generation& generation = *report.generation;
  const bool proved = report.runtime->model.proof().proved;
  return fmt::format("{}, {}, {}, {} + {} tokens, {}, seed {}", rate_and_share(report),
                     report.runtime->backend->tier(),
                     proved ? "proved" : "not proved (--no-verify)", generation.prompt_tokens,
                     generation.tokens.size(), in_words(generation.end), report.seed);
}

std::string to_json(const RunReport& report, const telemetry::Telemetry& telemetry) {
  const Runtime& runtime = *report.runtime;
  const engine::Generation& generation = *report.generation;
  json::object counters;
  for (const auto& [name, value] : telemetry.counters()) counters[name] = value;
  json::object object;
  object["text"] = generation.text;
  object["tokens"] = json::value_from(generation.tokens);
  object["end"] = engine::name(generation.end);
  object["prompt_tokens"] = generation.prompt_tokens;
  object["generated_tokens"] = generation.tokens.size();
  object["context"] = report.context;
  object["kv"] = name(report.kv);
  object["seed"] = report.seed;
  object["model"] = model_name(runtime.model);
  object["architecture"] = runtime.model.config().architecture;
  object["tier"] = runtime.backend->tier();
  object["threads"] = runtime.backend->threads();
  object["threads_from"] = runtime.threads_from;
  object["proved"] = runtime.model.proof().proved;
  object["cache"] = runtime.cache;
  object["tuning"] = runtime.tuning;
  object["tokens_per_second"] = or_null(report.tokens_per_second);
  object["limit"] = limit_value(report);
  object["head"] = head_value(report);
  object["seconds"] = {{"load", runtime.load_seconds},
                       {"proof", runtime.model.proof().seconds},
                       {"prefill", generation.prefill_seconds},
                       {"decode", generation.decode_seconds}};
  object["peak_resident_bytes"] = peak_resident_bytes();
  object["counters"] = std::move(counters);
  return json::serialize(object);
}

}  // namespace tern::cli
