#include "core/process_use.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <system_error>

namespace tern {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

ProcessUse process_use(const std::filesystem::path& root) {
  ProcessUse use;
  std::ifstream memory(root / "proc/self/statm");  // in pages
  double all = 0;
  double resident = 0;
  if (memory >> all >> resident) {
    const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
    use.virtual_bytes = all * page;
    use.resident_bytes = resident * page;
  }
  std::error_code failed;
  const std::filesystem::directory_iterator files(root / "proc/self/fd", failed);
  if (!failed) {
    const auto count = std::distance(begin(files), end(files));
    use.open_files = static_cast<double>(count - 1);  // but for the one that looks
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    use.most_files = static_cast<double>(limit.rlim_cur);
  }
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    use.cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  }
  return use;
}

}  // namespace tern
