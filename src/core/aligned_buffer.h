// Memory aligned to 64 bytes whose allocation can fail without an exception. From 2 MiB on it is
// aligned to, and asks the system for, huge pages.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "core/result.h"

namespace tern {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Zeroed. `what` names the purpose in the error. Errors: kOutOfMemory.
  static Result<AlignedBuffer> allocate(std::size_t bytes, std::string_view what);
  // For those who write every byte: the system clears the pages for the threads that write them,
  // all at once, and not for this one, page after page.
  static Result<AlignedBuffer> allocate_unwritten(std::size_t bytes, std::string_view what);

  std::byte* data() { return memory_.get(); }
  const std::byte* data() const { return memory_.get(); }
  std::size_t size() const { return size_; }

  // The buffer as an array that starts `offset` bytes in. The caller keeps within size().
  template <typename T>
  T* as(std::size_t offset = 0) {
    return reinterpret_cast<T*>(memory_.get() + offset);
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }  // NOLINT: pairs posix_memalign
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t size_ = 0;
};

}  // namespace tern
