#include "support/most_allocated.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> most{SIZE_MAX};

}  // namespace

namespace tern::test {

MostAllocated::MostAllocated(std::size_t bytes) { most = bytes; }
MostAllocated::~MostAllocated() { most = SIZE_MAX; }

}  // namespace tern::test

// All that a sanitizer has of its own, so that it sees no pair of its kind and ours.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return size > most ? nullptr : std::malloc(size == 0 ? 1 : size);
}
void* operator new(std::size_t size) {
  if (void* bytes = operator new(size, std::nothrow)) return bytes;
  throw std::bad_alloc();
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return operator new(size, std::nothrow);
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* bytes) noexcept { std::free(bytes); }
void operator delete(void* bytes, std::size_t) noexcept { std::free(bytes); }
void operator delete[](void* bytes) noexcept { std::free(bytes); }
void operator delete[](void* bytes, std::size_t) noexcept { std::free(bytes); }
