#include "core/read_ahead.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <utility>

namespace tern {
namespace {

constexpr std::size_t kStep = std::size_t{1} << 20;  // so that end() need not wait for long

}  // namespace

// As if each page were read: then the system reads on as it does for who reads in order. Asked to
// read ahead by MADV_WILLNEED it brings small pages instead of large ones, which are slower to map.
bool ReadAhead::populate(Part part) {
#ifdef MADV_POPULATE_READ
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t before = reinterpret_cast<std::uintptr_t>(part.data()) % page;
  return ::madvise(const_cast<std::byte*>(part.data()) - before,  // NOLINT: void*
                   part.size() + before, MADV_POPULATE_READ) == 0;
#else
  static_cast<void>(part);
  return false;
#endif
}

ReadAhead::ReadAhead(std::vector<Part> parts, std::size_t ahead, Read read)
    : parts_(std::move(parts)), ahead_(ahead), read_(std::move(read)) {
  std::size_t end = 0;
  for (const Part& part : parts_) ends_.push_back(end += part.size());
}

void ReadAhead::begin(std::size_t part) {
  {
    const std::lock_guard lock(mutex_);
    at_ = std::max(at_, ends_[part] - parts_[part].size());
    limit_ = std::min(ends_.back(), ends_[part] + ahead_);
    if (!thread_.joinable()) {
      try {
        thread_ = std::thread([this] { work(); });
      } catch (const std::system_error&) {
        return;  // the next time it may be possible
      }
    }
  }
  changed_.notify_all();
}

void ReadAhead::end(std::size_t part) {
  std::unique_lock lock(mutex_);
  at_ = std::max(at_, ends_[part]);
  changed_.wait(lock, [&] { return reading_ == 0 || reading_ > ends_[part]; });
}

ReadAhead::Part ReadAhead::next() const {
  if (at_ >= limit_) return {};
  const auto found = std::upper_bound(ends_.begin(), ends_.end(), at_);
  const Part& part = parts_[static_cast<std::size_t>(found - ends_.begin())];
  return part.last(*found - at_).first(std::min(kStep, std::min(*found, limit_) - at_));
}

void ReadAhead::work() {
  std::unique_lock lock(mutex_);
  for (bool able = true; able;) {
    changed_.wait(lock, [this] { return stopping_ || !next().empty(); });
    if (stopping_) return;
    const Part part = next();
    reading_ = at_ += part.size();
    lock.unlock();
    able = read_(part);
    lock.lock();
    reading_ = 0;
    changed_.notify_all();
  }
}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace tern
