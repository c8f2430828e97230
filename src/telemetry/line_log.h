// Events as JSON Lines in a file or pipe, written by a thread of its own: who emits an event never
// waits for a slow disk or a reader that has stopped.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/file_descriptor.h"
#include "telemetry/telemetry.h"

namespace tern::telemetry {

// Lines wait in a queue of bounded size; those beyond it, and those that cannot be written, are
// dropped and counted. A line that is cut, here or by a writer before, gets an end before the next
// one. Without a file events are not looked at.
class LineLog final : public EventSink {
 public:
  struct Bounds {
    std::size_t lines = 8192;
    std::size_t bytes = 64u << 20;
  };
  // `dropped` outlives the log.
  LineLog(const Bounds& bounds, Counter& dropped);
  ~LineLog() override;

  void receive(const Event& event) override;
  // From now on, lines go here; those that wait, too, and one that the old file does not take is
  // given up. Any thread.
  void write_to(std::shared_ptr<FileDescriptor> file);
  // Writes what waits, for as long as somebody reads it: a reader that has stopped gets a second.
  // What comes after is dropped. One thread.
  void close();

 private:
  void run();
  bool write(const FileDescriptor& file, std::string_view& line);

  const Bounds bounds_;
  Counter& dropped_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<FileDescriptor> file_;
  std::deque<std::string> lines_;
  std::size_t bytes_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace tern::telemetry
