#include "core/process_use.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <system_error>

namespace tern {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

void read_memory(const std::filesystem::path& root, ProcessUse& use) {
  std::ifstream memory(root / "proc/self/statm");  // in pages
  double all = 0;
  double resident = 0;
  if (!(memory >> all >> resident)) return;
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  use.virtual_bytes = all * page;
  use.resident_bytes = resident * page;
}

std::optional<double> count_open_files(const std::filesystem::path& root) {
  std::error_code failed;
  std::filesystem::directory_iterator file(root / "proc/self/fd", failed);
  double count = -1;  // but for the one that looks
  for (; !failed && file != std::filesystem::directory_iterator(); file.increment(failed)) ++count;
  if (failed) return std::nullopt;
  return count;
}

}  // namespace

ProcessUse process_use(const std::filesystem::path& root) {
  ProcessUse use;
  read_memory(root, use);  // its file is closed when they are counted
  use.open_files = count_open_files(root);
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
