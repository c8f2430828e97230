#include "core/failing_call.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <utility>

namespace tern::test {
namespace {

FailingCall* current = nullptr;
std::function<std::uint64_t()> disk_free;

bool fails(const char* name) { return current != nullptr && current->takes(name); }

void set_free(struct statvfs* disk) {
  if (!disk_free) return;
  disk->f_frsize = 1;
  disk->f_bavail = disk_free();
}

}  // namespace

FailingCall::FailingCall(std::string name, int error, int skipped, std::function<void()> before)
    : name_(std::move(name)), error_(error), skipped_(skipped), before_(std::move(before)) {
  current = this;
}

FailingCall::~FailingCall() { current = nullptr; }

FakeDisk::FakeDisk(std::function<std::uint64_t()> free_bytes) { disk_free = std::move(free_bytes); }

FakeDisk::~FakeDisk() { disk_free = nullptr; }

bool FailingCall::takes(const char* name) {
  if (happened_ || name != name_ || skipped_-- > 0) return false;
  happened_ = true;
  if (before_) before_();
  errno = error_;
  return error_ != 0;
}

}  // namespace tern::test

// What the linker's --wrap makes of the calls, and what it leaves of the functions themselves.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming,cert-dcl37-c)
extern "C" {

int __real_close(int fd);
int __wrap_close(int fd) {  // closes whatever it says, as the system does
  const int status = __real_close(fd);
  return tern::test::fails("close") ? -1 : status;
}

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation) {
  return tern::test::fails("flock") ? -1 : __real_flock(fd, operation);
}

int __real_fstat(int fd, struct stat* info);
int __wrap_fstat(int fd, struct stat* info) {
  return tern::test::fails("fstat") ? -1 : __real_fstat(fd, info);
}

int __real_fstatvfs(int fd, struct statvfs* disk);
int __wrap_fstatvfs(int fd, struct statvfs* disk) {
  if (tern::test::fails("fstatvfs")) return -1;
  const int status = __real_fstatvfs(fd, disk);
  tern::test::set_free(disk);
  return status;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd) { return tern::test::fails("fsync") ? -1 : __real_fsync(fd); }

int __real_open(const char* name, int flags, ...);
int __wrap_open(const char* name, int flags, ...) {
  std::va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return tern::test::fails("open") ? -1 : __real_open(name, flags, mode);
}

int __real_openat(int fd, const char* name, int flags, ...);
int __wrap_openat(int fd, const char* name, int flags, ...) {
  std::va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return tern::test::fails("openat") ? -1 : __real_openat(fd, name, flags, mode);
}

ssize_t __real_pread(int fd, void* to, std::size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void* to, std::size_t size, off_t offset) {
  return tern::test::fails("pread") ? -1 : __real_pread(fd, to, size, offset);
}

int __real_unlinkat(int fd, const char* name, int flags);
int __wrap_unlinkat(int fd, const char* name, int flags) {
  return tern::test::fails("unlinkat") ? -1 : __real_unlinkat(fd, name, flags);
}

ssize_t __real_write(int fd, const void* from, std::size_t size);
ssize_t __wrap_write(int fd, const void* from, std::size_t size) {
  return tern::test::fails("write") ? -1 : __real_write(fd, from, size);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming,cert-dcl37-c)
