// Memory that runs out because a test wants it: for tests with most_allocated.cpp among their
// sources, whose operator new then asks here.
#pragma once

#include <cstddef>

namespace tern::test {

// While it lives, no thread gets more at once: operator new throws.
class MostAllocated {
 public:
  explicit MostAllocated(std::size_t bytes);
  MostAllocated(const MostAllocated&) = delete;
  MostAllocated& operator=(const MostAllocated&) = delete;
  ~MostAllocated();
};

}  // namespace tern::test
