// Calls that a worker takes from the front, and workers who have nothing left to do from the back:
// cores do not read memory equally fast, nor do they get all of the machine's time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/thread_pool.h"

namespace tern::backend {

class alignas(64) OpenCalls {
 public:
  // While no worker takes any. Calls are counted in 32 bits.
  void open(std::size_t begin, std::size_t end) { left_.store(join(begin, end)); }

  // Their worker alone, until there is none.
  std::optional<std::size_t> take_first() {
    std::uint64_t left = left_.load();
    while (begin_of(left) < end_of(left)) {
      if (left_.compare_exchange_weak(left, join(begin_of(left) + 1, end_of(left)))) {
        return begin_of(left);
      }
    }
    front_end_ = begin_of(left);
    return std::nullopt;
  }
  // Behind what was taken from the front, once that found none.
  std::size_t front_end() const { return front_end_; }

  // Half of what is left, so that both are done at about the same time. The last one is not taken:
  // its keys are in the other worker's cache.
  std::optional<Slice> take_last() {
    std::uint64_t left = left_.load();
    for (;;) {
      const std::size_t begin = begin_of(left);
      const std::size_t end = end_of(left);
      if (end - begin < 2) return std::nullopt;
      const std::size_t rest = end - (end - begin) / 2;
      if (left_.compare_exchange_weak(left, join(begin, rest))) return Slice{rest, end};
    }
  }

 private:
  static std::uint64_t join(std::size_t begin, std::size_t end) {
    return std::uint64_t{end} << 32 | begin;
  }
  static std::size_t begin_of(std::uint64_t left) { return static_cast<std::uint32_t>(left); }
  static std::size_t end_of(std::uint64_t left) { return left >> 32; }

  std::atomic<std::uint64_t> left_{0};
  std::size_t front_end_ = 0;
};

}  // namespace tern::backend
