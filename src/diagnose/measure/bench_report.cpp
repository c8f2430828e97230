#include "diagnose/measure/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

namespace tern::diagnose {
namespace {

namespace json = boost::json;

constexpr double kGiga = 1e9;
constexpr double kMega = 1e6;

// Of the multiply-accumulates of a tier, as the ceilings of the run stand to each other.
double share_of_tier(const BenchReport& report, const Rate& prefill, const TierCeiling& tier) {
  const auto& macs = report.ceilings.macs;
  const auto own = std::find_if(macs.begin(), macs.end(),
                                [&](const TierCeiling& each) { return each.tier == report.tier; });
  return prefill.share * own->best() / tier.best();
}

std::string quartile_text(const Repeated& repeated, std::string_view unit) {
  const Quartiles& q = repeated.value;
  std::string disturbed;
  if (repeated.discarded > 0)
    disturbed = fmt::format(", {} disturbed discarded", repeated.discarded);
  if (repeated.disturbance > 0.0) {
    disturbed += fmt::format(", up to {:.1f}% stolen from the rest", 100 * repeated.disturbance);
  }
  return fmt::format("{:.4g} {} [{:.4g}, {:.4g}{}]", q.median, unit, q.lower, q.upper, disturbed);
}

std::string ceiling_text(std::span<const Turn> turns, std::string_view unit) {
  const Quartiles q = ceiling_of(turns);
  return fmt::format("{:.2f} {} [{:.2f}, {:.2f}]", q.median / kGiga, unit, q.lower / kGiga,
                     q.upper / kGiga);
}

std::string prefill_text(const BenchReport& report) {
  if (report.prefills.empty()) return "prefill  not measured\n";
  std::string text;
  for (const PrefillRate& prefill : report.prefills) {
    text += fmt::format("prefill  {} tokens: {}, {:.1f}% of {}'s int8 multiply-accumulates",
                        prefill.tokens, quartile_text(prefill.rate.tokens_per_second, "tok/s"),
                        100 * prefill.rate.share, report.tier);
    for (const TierCeiling& tier : report.ceilings.macs) {
      if (tier.tier == report.tier) continue;
      text += fmt::format(", {:.1f}% of {}'s", 100 * share_of_tier(report, prefill.rate, tier),
                          tier.tier);
    }
    text += fmt::format(", at {} beside it\n", ceiling_text(prefill.turns, "G/s"));
  }
  return text;
}

// How many times as fast as one sequence all of them are.
std::optional<double> times_one(const BenchReport& report, const BatchRate& batch) {
  if (!report.decode) return std::nullopt;
  return batch.rate.tokens_per_second.value.median / report.decode->tokens_per_second.value.median;
}

std::string batches_text(const BenchReport& report) {
  std::string text;
  for (const BatchRate& batch : report.batches) {
    text +=
        fmt::format("batch    {} sequences: {}, {:.4g} ms a token of each, {:.1f}% of the limit",
                    batch.sequences, quartile_text(batch.rate.tokens_per_second, "tok/s"),
                    1e3 * batch.seconds_a_token(), 100 * batch.rate.share);
    if (const auto times = times_one(report, batch)) {
      text += fmt::format(", {:.2f} times one", *times);
    }
    text += "\n";
  }
  return text;
}

std::string decode_text(const BenchReport& report) {
  if (!report.decode) return "not measured";
  return fmt::format(
      "{} tokens behind {}: {}, {:.1f}% of reading {:.1f} MB a token, {} with its {:.1f} MB of "
      "keys and values, at {} beside it",
      report.decode_tokens, report.depth, quartile_text(report.decode->tokens_per_second, "tok/s"),
      100 * report.decode->share, static_cast<double>(report.bytes_per_token) / kMega,
      report.share_with_kv ? fmt::format("{:.1f}%", 100 * *report.share_with_kv) : "no share",
      static_cast<double>(report.kv_bytes_per_token) / kMega,
      ceiling_text(report.decode_turns, "GB/s"));
}

std::string head_text(const BenchReport& report) {
  std::string text = report.head.certified
                         ? fmt::format("certified, a copy of {:.1f} MB",
                                       static_cast<double>(report.head.copy_bytes) / kMega)
                         : "exact, all rows for each token";
  if (!report.head.no_copy_for.empty()) text += ": " + report.head.no_copy_for;
  if (!report.decode) return text;
  return text + fmt::format("; {:.1f} rows a token computed exactly", report.exact_rows_per_token);
}

std::string load_text(const BenchReport& report) {
  std::string text = "warm " + quartile_text(report.load.warm, "s");
  if (!report.load.cold) return text + ", cold not measured: the model is no file";
  text += ", cold " + quartile_text(*report.load.cold, "s");
  const double kept = report.load.cold_resident_share;
  if (kept > 0) text += fmt::format(", of which the kernel kept up to {:.1f}% cached", 100 * kept);
  return text;
}

std::string read_text(const Ceilings& ceilings) {
  const ReadCeiling& best = ceilings.read();
  return fmt::format("{:.2f} GB/s ({:.2f} before, {:.2f} after; {} streams a thread{}, {} MiB)",
                     best.bytes_per_second / kGiga, ceilings.read_before.bytes_per_second / kGiga,
                     ceilings.read_after.bytes_per_second / kGiga, best.streams,
                     best.prefetch ? ", prefetched" : "", best.buffer_bytes >> 20);
}

json::object quartile_object(const Repeated& repeated, std::string_view name) {
  return {{name, repeated.value.median},
          {"lower_quartile", repeated.value.lower},
          {"upper_quartile", repeated.value.upper},
          {"repetitions", repeated.value.count},
          {"discarded", repeated.discarded},
          {"stolen_share", repeated.disturbance}};
}

json::object prefill_object(const BenchReport& report, const PrefillRate& prefill) {
  json::object object = quartile_object(prefill.rate.tokens_per_second, "tokens_per_s");
  object["tokens"] = prefill.tokens;
  object["chunk"] = std::min(prefill.tokens, report.prefill_chunk);
  object["share"] = prefill.rate.share;
  object["macs_per_token"] = report.macs_per_token;
  object["mac_per_s"] = ceiling_of(prefill.turns).median;
  json::object shares;
  for (const TierCeiling& tier : report.ceilings.macs) {
    shares[tier.tier] = share_of_tier(report, prefill.rate, tier);
  }
  object["shares"] = std::move(shares);
  return object;
}

json::array prefills_array(const BenchReport& report) {
  json::array array;
  for (const PrefillRate& prefill : report.prefills) {
    array.push_back(prefill_object(report, prefill));
  }
  return array;
}

json::array batches_array(const BenchReport& report) {
  json::array array;
  for (const BatchRate& batch : report.batches) {
    json::object object = quartile_object(batch.rate.tokens_per_second, "tokens_per_s");
    object["sequences"] = batch.sequences;
    object["token_s"] = batch.seconds_a_token();
    object["share"] = batch.rate.share;
    const auto times = times_one(report, batch);
    object["times_one"] = times ? json::value(*times) : json::value(nullptr);
    array.push_back(std::move(object));
  }
  return array;
}

json::value decode_value(const BenchReport& report) {
  if (!report.decode) return nullptr;
  json::object object = quartile_object(report.decode->tokens_per_second, "tokens_per_s");
  object["tokens"] = report.decode_tokens;
  object["depth"] = report.depth;
  object["share"] = report.decode->share;
  object["bytes_per_token"] = report.bytes_per_token;
  object["read_bytes_per_s"] = ceiling_of(report.decode_turns).median;
  object["kv_bytes_per_token"] = report.kv_bytes_per_token;
  object["share_with_kv"] = nullptr;
  if (report.share_with_kv) object["share_with_kv"] = *report.share_with_kv;
  return object;
}

json::object head_object(const BenchReport& report) {
  json::value rows = nullptr;
  if (report.decode) rows = report.exact_rows_per_token;
  return {{"mode", report.head.certified ? "certified" : "exact"},
          {"bytes", report.head.bytes},
          {"copy_bytes", report.head.copy_bytes},
          {"exact_rows_per_token", std::move(rows)}};
}

json::object load_object(const LoadTimes& load) {
  json::object object;
  object["warm"] = quartile_object(load.warm, "s");
  object["cold"] = nullptr;
  if (load.cold) {
    json::object cold = quartile_object(*load.cold, "s");
    cold["resident_share"] = load.cold_resident_share;
    object["cold"] = std::move(cold);
  }
  return object;
}

json::object ceilings_object(const BenchReport& report) {
  const Ceilings& ceilings = report.ceilings;
  const ReadCeiling& best = ceilings.read();
  json::object macs;
  for (const TierCeiling& tier : ceilings.macs) macs[tier.tier] = tier.best();
  return {{"read_bytes_per_s", best.bytes_per_second},
          {"read_before_bytes_per_s", ceilings.read_before.bytes_per_second},
          {"read_after_bytes_per_s", ceilings.read_after.bytes_per_second},
          {"read_streams", best.streams},
          {"read_prefetch", best.prefetch},
          {"read_buffer_bytes", best.buffer_bytes},
          {"mac_per_s", macs[report.tier]},
          {"mac", std::move(macs)}};
}

}  // namespace

std::string to_text(const BenchReport& report) {
  std::string text = fmt::format(
      "model    {}, {}, {}\n"
      "run      {}, {} threads, keys and values in {}, tuning {}, median [quartiles] of {}\n"
      "{}"
      "decode   {}\n"
      "{}"
      "head     {}\n"
      "load     {}\n"
      "memory   {:.1f} MB at most, {:.1f} MB of keys and values among them{}\n",
      report.model, report.architecture, report.source, report.tier, report.threads,
      name(report.kv_type), report.tuning, report.repetitions, prefill_text(report),
      decode_text(report), batches_text(report), head_text(report), load_text(report),
      static_cast<double>(report.rss_bytes) / kMega, static_cast<double>(report.kv_bytes) / kMega,
      report.rss_excludes_probe ? ""
                                : "; the probe's buffer counts, since the system cannot reset the "
                                  "peak");
  text += report.stolen_share
              ? fmt::format("stolen   {:.2f}% of the machine's time\n", 100 * *report.stolen_share)
              : "stolen   unknown: no /proc/stat\n";
  text += fmt::format("read     {}\n", read_text(report.ceilings));
  for (const TierCeiling& tier : report.ceilings.macs) {
    text += fmt::format("int8     {:.1f} G multiply-accumulates/s with {}\n", tier.best() / kGiga,
                        tier.tier);
  }
  return text;
}

std::string to_json(const BenchReport& report) {
  json::object object;
  object["model"] = report.model;
  object["architecture"] = report.architecture;
  object["source"] = report.source;
  object["tier"] = report.tier;
  object["threads"] = report.threads;
  object["kv"] = name(report.kv_type);
  object["tuning"] = report.tuning;
  json::array prefills = prefills_array(report);
  object["prefill"] = prefills.empty() ? json::value(nullptr) : prefills.front();
  object["prefills"] = std::move(prefills);
  object["decode"] = decode_value(report);
  object["batches"] = batches_array(report);
  object["head"] = head_object(report);
  object["load_s"] = report.load.warm.value.median;
  object["load"] = load_object(report.load);
  object["rss_bytes"] = report.rss_bytes;
  object["rss_excludes_probe"] = report.rss_excludes_probe;
  object["kv_bytes"] = report.kv_bytes;
  object["stolen_share"] =
      report.stolen_share ? json::value(*report.stolen_share) : json::value(nullptr);
  object["ceilings"] = ceilings_object(report);
  return json::serialize(object);
}

}  // namespace tern::diagnose
