// System calls that fail because a test wants it: core_test is linked so that those of Tern that
// CMakeLists.txt names pass through here.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace tern::test {

// While it lives: the next call of that name, after `skipped` others, runs `before` and then, once,
// fails with that errno; with 0 it is made as ever.
class FailingCall {
 public:
  explicit FailingCall(std::string name, int error, int skipped = 0,
                       std::function<void()> before = {});
  FailingCall(const FailingCall&) = delete;
  FailingCall& operator=(const FailingCall&) = delete;
  ~FailingCall();

  bool happened() const { return happened_; }
  // Of the wrapped calls: whether this one is the one that fails; errno is set then.
  bool takes(const char* name);

 private:
  std::string name_;
  int error_ = 0;
  int skipped_ = 0;
  std::function<void()> before_;
  bool happened_ = false;
};

// While it lives, the disk has as many free bytes as the function says.
class FakeDisk {
 public:
  explicit FakeDisk(std::function<std::uint64_t()> free_bytes);
  FakeDisk(const FakeDisk&) = delete;
  FakeDisk& operator=(const FakeDisk&) = delete;
  ~FakeDisk();
};

}  // namespace tern::test
