#include "telemetry/prometheus.h"

#include <fmt/format.h>

#include <algorithm>

namespace tern::telemetry {
namespace {

std::string metric(std::string_view name, bool standard = false) {
  std::string text = (standard ? "" : "tern_") + std::string(name);
  std::replace_if(
      text.begin(), text.end(),
      [](char c) {
        return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '_');
      },
      '_');
  return text;
}

std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    text += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return text;
}

void add_head(std::string& text, const std::string& metric, std::string_view help,
              std::string_view type) {
  if (!help.empty()) text += fmt::format("# HELP {} {}\n", metric, help);
  text += fmt::format("# TYPE {} {}\n", metric, type);
}

std::string_view text_of(std::string_view name, std::span<const Help> help) {
  const auto found = std::find_if(help.begin(), help.end(),
                                  [name](const Help& each) { return each.name == name; });
  return found == help.end() ? std::string_view() : found->text;
}

void add_samples(std::string& text, const std::string& name, const Histogram::Snapshot& found) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < found.counts.size(); ++i) {
    count += found.counts[i];
    const std::string bound = i < found.bounds.size() ? fmt::format("{}", found.bounds[i]) : "+Inf";
    text += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, bound, count);
  }
  text += fmt::format("{}_sum {}\n{}_count {}\n", name, found.sum, name, count);
}

void add_gauge(std::string& text, const Gauge& gauge, bool is_first) {
  const std::string name = metric(gauge.name, gauge.standard) + (gauge.counter ? "_total" : "");
  if (is_first) add_head(text, name, gauge.help, gauge.counter ? "counter" : "gauge");
  text += name;
  for (std::size_t i = 0; i < gauge.labels.size(); ++i) {
    const auto& [key, value] = gauge.labels[i];
    text += fmt::format("{}{}=\"{}\"", i == 0 ? "{" : ",", key, escaped(value));
  }
  text += fmt::format("{} {}\n", gauge.labels.empty() ? "" : "}", gauge.value);
}

}  // namespace

std::string prometheus_text(const Telemetry& telemetry, std::span<const Gauge> gauges,
                            std::span<const Help> help) {
  std::string text;
  for (const auto& [name, value] : telemetry.counters()) {
    const std::string counter = metric(name) + "_total";
    add_head(text, counter, text_of(name, help), "counter");
    text += fmt::format("{} {}\n", counter, value);
  }
  for (const auto& [name, found] : telemetry.histograms()) {
    add_head(text, metric(name), text_of(name, help), "histogram");
    add_samples(text, metric(name), found);
  }
  for (std::size_t i = 0; i < gauges.size(); ++i) {
    const bool is_same = i > 0 && gauges[i - 1].name == gauges[i].name &&
                         gauges[i - 1].standard == gauges[i].standard;
    add_gauge(text, gauges[i], !is_same);
  }
  return text;
}

}  // namespace tern::telemetry
