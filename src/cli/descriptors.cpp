#include "cli/descriptors.h"

#include <sys/resource.h>

#include <limits>

namespace tern::cli {

std::uint64_t raise_descriptors() {
  constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kUnknown;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : kUnknown;
}

}  // namespace tern::cli
