// Memory aligned to 64 bytes whose allocation can fail without an exception. From 2 MiB on it is
// aligned to, and asks the system for, huge pages.
#pragma once

#include <cstddef>
#include <memory>

#include "core/result.h"

namespace tern {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Zeroed. From 2 MiB on what nobody touches takes no memory, and the system clears each page for
  // the thread that first does. `what` names the purpose in the error. Errors: kOutOfMemory.
  static Result<AlignedBuffer> allocate(std::size_t bytes, std::string_view what);

  std::byte* data() { return memory_.get(); }
  const std::byte* data() const { return memory_.get(); }
  std::size_t size() const { return memory_.get_deleter().bytes; }

  // The buffer as an array that starts `offset` bytes in. The caller keeps within size().
  template <typename T>
  T* as(std::size_t offset = 0) {
    return reinterpret_cast<T*>(memory_.get() + offset);
  }

 private:
  struct Release {
    std::size_t bytes;
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Release> memory_;
};

}  // namespace tern
