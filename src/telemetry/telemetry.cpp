#include "telemetry/telemetry.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

namespace tern::telemetry {
namespace {

boost::json::value to_json(std::uint64_t value) { return value; }
boost::json::value to_json(const std::string& value) { return boost::json::string(value); }
boost::json::value to_json(const JsonText& json) {
  boost::json::error_code code;
  auto value = boost::json::parse(json.text, code);
  return code ? boost::json::value(json.text) : value;  // wrong, but whole
}
// JSON has no NaN and no infinity.
boost::json::value to_json(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

}  // namespace

void Histogram::observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  const std::lock_guard lock(mutex_);
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_ += value;
}

Histogram::Snapshot Histogram::snapshot() const {
  const std::lock_guard lock(mutex_);
  return {bounds_, counts_, sum_};
}

Histogram& Telemetry::histogram(std::string_view name, std::span<const double> bounds) {
  const std::lock_guard lock(mutex_);
  const auto found = histograms_.find(name);
  return found != histograms_.end()
             ? found->second
             : histograms_.try_emplace(std::string(name), bounds).first->second;
}

std::map<std::string, Histogram::Snapshot> Telemetry::histograms() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Histogram::Snapshot> values;
  for (const auto& [name, histogram] : histograms_) values.emplace(name, histogram.snapshot());
  return values;
}

Counter& Telemetry::counter(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = counters_.find(name);
  return found != counters_.end() ? found->second
                                  : counters_.try_emplace(std::string(name)).first->second;
}

std::map<std::string, std::uint64_t> Telemetry::counters() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::uint64_t> values;
  for (const auto& [name, counter] : counters_) values.emplace(name, counter.value());
  return values;
}

void Telemetry::add_sink(std::unique_ptr<EventSink> sink) {
  const std::lock_guard lock(sinks_mutex_);
  sinks_.push_back(std::move(sink));
}

void Telemetry::emit(const Event& event) {
  const std::lock_guard lock(sinks_mutex_);
  for (const auto& sink : sinks_) sink->receive(event);
}

std::string json_line(const Event& event) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  boost::json::object object;
  object["event"] = event.name;
  object["time"] = std::chrono::duration<double>(now).count();
  for (const auto& field : event.fields) {
    std::visit([&](const auto& value) { object[field.first] = to_json(value); }, field.second);
  }
  return boost::json::serialize(object) + "\n";
}

void JsonLinesSink::receive(const Event& event) { out_ << json_line(event) << std::flush; }

}  // namespace tern::telemetry
