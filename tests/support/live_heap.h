// What of the heap is in use, by the sizes of its blocks: for tests with live_heap.cpp among their
// sources, whose malloc counts. (mallinfo2 takes the free blocks that the allocator keeps for each
// thread as in use, and how many these are depends on where blocks happen to lie.)
#pragma once

#include <cstddef>

namespace tern::test {

// Of all threads, since the start of the process.
std::size_t live_heap_bytes();

}  // namespace tern::test
