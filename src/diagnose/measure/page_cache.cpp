#include "diagnose/measure/page_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/mapped_file.h"

namespace tern::diagnose {
namespace {

Error io_error(const std::filesystem::path& path, const char* what, int error_number) {
  return Error{ErrorCode::kIo, std::string(what) + ": " + std::strerror(error_number),
               path.string()};
}

}  // namespace

Result<void> drop_from_page_cache(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return io_error(path, "cannot open the file", errno);
  const int unsynced = ::fsync(fd) == 0 ? 0 : errno;  // pages that are not written stay
  const int kept = ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
  if (unsynced != 0) return io_error(path, "cannot write out the file", unsynced);
  if (kept != 0) return io_error(path, "cannot drop the file from the page cache", kept);
  return {};
}

Result<double> resident_share(const std::filesystem::path& path) {
  TERN_ASSIGN(const MappedFile file, MappedFile::open(path));
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((file.bytes().size() + page - 1) / page);
  // mincore() takes a pointer to what it never writes. NOLINTNEXTLINE
  if (::mincore(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), pages.data()) !=
      0) {
    return io_error(path, "cannot ask which of the file's pages are in memory", errno);
  }
  const auto resident =
      std::count_if(pages.begin(), pages.end(), [](unsigned char entry) { return entry & 1; });
  return static_cast<double>(resident) / static_cast<double>(pages.size());
}

}  // namespace tern::diagnose
