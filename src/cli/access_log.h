// The access log of `tern serve`: a line for each request of HTTP.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "core/file_descriptor.h"
#include "core/result.h"
#include "telemetry/line_log.h"

namespace tern::cli {

using LogFile = std::shared_ptr<FileDescriptor>;

// Nothing for an empty path; "-" is standard error. Waits for nobody: neither for a reader of a
// pipe here, nor for one that stands still later. Errors: kIo.
Result<LogFile> open_log(const std::string& path);

class AccessLog final : public telemetry::EventSink {
 public:
  // `dropped` outlives the log.
  explicit AccessLog(telemetry::Counter& dropped) : dropped_(dropped), lines_({}, dropped) {}

  void write_to(LogFile file) { lines_.write_to(std::move(file)); }
  void receive(const telemetry::Event& event) override;
  void close() { lines_.close(); }
  // What is to be said of lines that were lost since this was asked last: nothing where none were,
  // and at most one line a minute. One thread.
  std::optional<std::string> losses();

 private:
  const telemetry::Counter& dropped_;
  std::uint64_t told_ = 0;
  std::optional<std::chrono::steady_clock::time_point> told_at_;
  telemetry::LineLog lines_;
};

}  // namespace tern::cli
