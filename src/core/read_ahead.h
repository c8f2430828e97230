// Brings parts of mapped files into memory before they are read, on a thread of its own: who works
// on a file that lies on disk waits for the disk no longer than the disk takes.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace tern {

class ReadAhead {
 public:
  using Part = std::span<const std::byte>;
  // Brings a part, of a megabyte at most, into memory. False: nothing can be brought so.
  using Read = std::function<bool(Part)>;
  // By a system call of Linux 5.14; elsewhere false, and who reads waits as he would have.
  static bool populate(Part part);

  // The parts in the order in which they will be worked on, and how many bytes behind the one under
  // way are read meanwhile. No byte is read twice, and no thread starts before the first begin().
  ReadAhead(std::vector<Part> parts, std::size_t ahead, Read read = populate);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // Work on the part of that index begins: it and what lies behind it are read. Returns at once.
  void begin(std::size_t part);
  // Work on it has ended: once this returns, neither it nor a part before it is read any more, so
  // that its pages can be released.
  void end(std::size_t part);

 private:
  void work();
  Part next() const;  // what is read next of the parts that may be; empty: nothing

  std::vector<Part> parts_;
  std::vector<std::size_t> ends_;  // of the parts, were they side by side, as all below
  std::size_t ahead_;
  Read read_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t at_ = 0;       // all before it was read or is not wanted
  std::size_t limit_ = 0;    // up to which may be read
  std::size_t reading_ = 0;  // the end of the part that is being read; 0: none is
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tern
