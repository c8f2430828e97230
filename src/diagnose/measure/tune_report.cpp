#include "diagnose/measure/tune_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

namespace tern::diagnose {
namespace {

namespace json = boost::json;

std::string_view reason(const ShapeTuning& shape) {
  if (shape.kept != 0) return "clearly faster than the tier's own plan";
  return shape.candidates.size() == 1 ? "the tier has no other" : "nothing is clearly faster";
}

std::string row(const TuneCandidate& candidate, const TuneCandidate& own, bool kept) {
  std::string text = fmt::format("  {} {:<40} ", kept ? '*' : ' ', to_text(candidate.plan));
  text += candidate.seconds > 0 ? fmt::format("{:>9.1f} us a matrix", 1e6 * candidate.seconds)
                                : "not timed";
  if (const auto& ratio = candidate.ratio) {
    text += fmt::format(", {:.3f} [{:.3f}, {:.3f}] of the tier's own", ratio->median, ratio->lower,
                        ratio->upper);
  } else if (&candidate == &own) {
    text += ", the tier's own";
  }
  return text + "\n";
}

std::string_view reason(const TileTuning& tiles) {
  if (tiles.kept < tiles.own) return "clearly faster there than vectors";
  if (tiles.kept > tiles.own) return "vectors are clearly faster below";
  return "the tier's own, and no other number is clearly faster";
}

std::string tiles_text(const TileTuning& tiles) {
  std::string text =
      fmt::format("  tile registers from {} tokens on: {}\n", tiles.kept, reason(tiles));
  for (const TileBucket& bucket : tiles.buckets) {
    text += fmt::format("    {:>2} tokens", bucket.tokens);
    if (const auto& ratio = bucket.ratio) {
      text += fmt::format(" {:>9.1f} us a matrix, {:.3f} [{:.3f}, {:.3f}] of vectors\n",
                          1e6 * bucket.tiles_seconds, ratio->median, ratio->lower, ratio->upper);
    } else {
      text += " NOT EXACT\n";
    }
  }
  return text;
}

// The tier's own plan and the finalists; the rest is in the JSON.
std::string shape_text(const ShapeTuning& shape) {
  const auto& all = shape.candidates;
  const auto exact = std::count_if(all.begin(), all.end(), [](const auto& c) { return c.exact; });
  std::string text = fmt::format(
      "{} x {}: {} candidates over {} matrices, {}; kept {}: {}\n", shape.shape.rows,
      shape.shape.columns, all.size(), shape.matrices,
      exact == std::ssize(all) ? "all exact" : fmt::format("{} NOT EXACT", std::ssize(all) - exact),
      to_text(all[shape.kept].plan), reason(shape));
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i == 0 || all[i].ratio) text += row(all[i], all[0], i == shape.kept);
  }
  if (shape.tiles) text += tiles_text(*shape.tiles);
  return text;
}

std::string_view reason(const TeamTuning& team) {
  if (team.kept != 0) return "clearly faster than one for each core";
  if (team.candidates.size() == 1) return "there is no other number";
  const auto slows = [](const TeamCandidate& c) { return c.prompts.has_value(); };
  return std::any_of(team.candidates.begin(), team.candidates.end(), slows)
             ? "what is faster makes prompts slower"
             : "nothing is clearly faster";
}

std::string ratio_text(std::string_view of, const Quartiles& ratio) {
  return fmt::format(", {} {:.3f} [{:.3f}, {:.3f}]", of, ratio.median, ratio.lower, ratio.upper);
}

std::string team_text(const TeamTuning& team) {
  std::string text = fmt::format("threads: kept {}: {}\n", team.threads(), reason(team));
  for (const TeamCandidate& candidate : team.candidates) {
    const bool kept = &candidate == &team.candidates[team.kept];
    text += fmt::format("  {} {}", kept ? '*' : ' ', candidate.threads);
    if (!candidate.exact) text += ", NOT EXACT";
    if (candidate.decode) text += ratio_text("decode", *candidate.decode);
    if (candidate.prompts) text += ratio_text("prompts", *candidate.prompts);
    if (candidate.decode) text += " of the first";
    text += "\n";
  }
  return text;
}

json::value ratio_value(const std::optional<Quartiles>& ratio) {
  if (!ratio) return nullptr;
  return {{"median", ratio->median},
          {"lower_quartile", ratio->lower},
          {"upper_quartile", ratio->upper},
          {"rounds", ratio->count}};
}

json::value team_value(const std::optional<TeamTuning>& team) {
  if (!team) return nullptr;
  json::array candidates;
  for (const TeamCandidate& candidate : team->candidates) {
    candidates.push_back({{"threads", candidate.threads},
                          {"exact", candidate.exact},
                          {"decode_ratio", ratio_value(candidate.decode)},
                          {"prompts_ratio", ratio_value(candidate.prompts)}});
  }
  return {
      {"kept", team->threads()}, {"reason", reason(*team)}, {"candidates", std::move(candidates)}};
}

json::object plan_object(const backend::MatrixPlan& plan) {
  return {{"packing", backend::name(plan.packing)},
          {"streams", plan.read.streams},
          {"prefetch_bytes", plan.read.prefetch_bytes}};
}

json::object candidate_object(const TuneCandidate& candidate) {
  json::object object = plan_object(candidate.plan);
  object["exact"] = candidate.exact;
  object["seconds"] = candidate.seconds > 0 ? json::value(candidate.seconds) : nullptr;
  object["ratio"] = ratio_value(candidate.ratio);
  return object;
}

json::value tiles_value(const std::optional<TileTuning>& tiles) {
  if (!tiles) return nullptr;
  json::array buckets;
  for (const TileBucket& bucket : tiles->buckets) {
    const auto seconds = [&](double value) { return bucket.ratio ? json::value(value) : nullptr; };
    buckets.push_back({{"tokens", bucket.tokens},
                       {"exact", bucket.exact},
                       {"vectors_seconds", seconds(bucket.vectors_seconds)},
                       {"tiles_seconds", seconds(bucket.tiles_seconds)},
                       {"ratio", ratio_value(bucket.ratio)}});
  }
  return {{"from_tokens", tiles->kept},
          {"own", tiles->own},
          {"reason", reason(*tiles)},
          {"buckets", std::move(buckets)}};
}

json::object shape_object(const ShapeTuning& shape) {
  json::array candidates;
  for (const TuneCandidate& candidate : shape.candidates) {
    candidates.push_back(candidate_object(candidate));
  }
  return {{"rows", shape.shape.rows},
          {"columns", shape.shape.columns},
          {"matrices", shape.matrices},
          {"kept", plan_object(shape.candidates[shape.kept].plan)},
          {"own", shape.kept == 0},
          {"reason", reason(shape)},
          {"candidates", std::move(candidates)},
          {"tile_registers", tiles_value(shape.tiles)}};
}

}  // namespace

std::string to_text(const backend::MatrixPlan& plan) {
  return fmt::format("{}, {} stream{}, {} bytes ahead", backend::name(plan.packing),
                     plan.read.streams, plan.read.streams == 1 ? "" : "s",
                     plan.read.prefetch_bytes);
}

std::string to_text(const TuneReport& report) {
  std::string text = report.made_by + "\n";
  if (report.team) text += team_text(*report.team);
  for (const ShapeTuning& shape : report.shapes) text += shape_text(shape);
  return text + fmt::format("{:.1f} s; {}\n", report.seconds,
                            report.kept_in.empty() ? "not kept" : "kept in " + report.kept_in);
}

std::string to_json(const TuneReport& report) {
  json::array shapes;
  for (const ShapeTuning& shape : report.shapes) shapes.push_back(shape_object(shape));
  json::object object;
  object["tier"] = report.tier;
  object["threads"] = report.threads;
  object["team"] = team_value(report.team);
  object["made_by"] = report.made_by;
  object["kept_in"] = report.kept_in.empty() ? json::value(nullptr) : json::value(report.kept_in);
  object["seconds"] = report.seconds;
  object["shapes"] = std::move(shapes);
  return json::serialize(object);
}

}  // namespace tern::diagnose
