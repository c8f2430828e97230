// Empty under a sanitizer, which has a heap of its own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include "support/live_heap.h"

#include <malloc.h>

#include <atomic>
#include <cerrno>

namespace {

std::atomic<std::size_t> live{0};

void* counted(void* block) noexcept {
  live += malloc_usable_size(block);
  return block;
}

}  // namespace

namespace tern::test {

std::size_t live_heap_bytes() { return live; }

}  // namespace tern::test

// All that the C library has but the obsolete valloc and pvalloc, or free would take off what was
// never added.
extern "C" {

void* __libc_malloc(std::size_t) noexcept;
void* __libc_calloc(std::size_t, std::size_t) noexcept;
void* __libc_realloc(void*, std::size_t) noexcept;
void* __libc_memalign(std::size_t, std::size_t) noexcept;
void __libc_free(void*) noexcept;

void* malloc(std::size_t size) noexcept { return counted(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) noexcept {
  return counted(__libc_calloc(count, size));
}
void* realloc(void* block, std::size_t size) noexcept {
  const std::size_t before = malloc_usable_size(block);
  void* const after = __libc_realloc(block, size);
  if (after != nullptr || size == 0) live -= before;  // else the block stays as it is
  return counted(after);
}
void free(void* block) noexcept {
  live -= malloc_usable_size(block);
  __libc_free(block);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  return counted(__libc_memalign(alignment, size));
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
  void* const made = memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}

}  // extern "C"

#endif
