// Counters, histograms and events of one process, handed to whoever reports. No globals: the
// composition root makes a Telemetry and passes it down by reference.
//
// Thread safety: any thread may count and emit. A sink's receive() is called under a lock, one
// event at a time, and must not call back.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tern::telemetry {

// JSON as it stands: an array or an object, well-formed.
struct JsonText {
  std::string text;
};

using FieldValue = std::variant<std::uint64_t, double, std::string, JsonText>;

struct Event {
  std::string_view name;  // "sequence.finished"
  std::vector<std::pair<std::string_view, FieldValue>> fields;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void receive(const Event& event) = 0;
};

// A count that only grows.
class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// How often values fell under each of some bounds.
class Histogram {
 public:
  // `bounds` ascend; above the last there is one more bucket.
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size() + 1) {}

  void observe(double value);

  struct Snapshot {
    std::vector<double> bounds;
    std::vector<std::uint64_t> counts;  // of values of at most the bound, and above the one before
    double sum = 0.0;
  };
  Snapshot snapshot() const;

 private:
  const std::vector<double> bounds_;
  mutable std::mutex mutex_;
  std::vector<std::uint64_t> counts_;
  double sum_ = 0.0;
};

class Telemetry {
 public:
  // The counter of that name, made at first use; the reference stays valid.
  Counter& counter(std::string_view name);
  // Names and values at this moment, in order of name.
  std::map<std::string, std::uint64_t> counters() const;

  // The histogram of that name, made at first use with these bounds; the reference stays valid.
  Histogram& histogram(std::string_view name, std::span<const double> bounds);
  std::map<std::string, Histogram::Snapshot> histograms() const;

  void add_sink(std::unique_ptr<EventSink> sink);
  void emit(const Event& event);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Counter, std::less<>> counters_;
  std::map<std::string, Histogram, std::less<>> histograms_;
  std::mutex sinks_mutex_;  // not that of counters: a sink may be slow
  std::vector<std::unique_ptr<EventSink>> sinks_;
};

// {"event": name, "time": seconds since the epoch, fields...} and a line break. A number that JSON
// lacks (NaN, infinity) is null.
std::string json_line(const Event& event);

// Writes an event a line. The stream outlives the sink.
class JsonLinesSink final : public EventSink {
 public:
  explicit JsonLinesSink(std::ostream& out) : out_(out) {}
  void receive(const Event& event) override;

 private:
  std::ostream& out_;
};

}  // namespace tern::telemetry
