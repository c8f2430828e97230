// A bound on the memory that the requests of all connections hold together.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace tern::net {

// Whether there is room for so much.
enum class Room {
  kYes,
  kNotNow,  // what others hold is in the way
  kNever,   // it is more than all may hold together
};

struct MemoryPot {
  explicit MemoryPot(std::size_t bytes) : most(bytes) {}

  std::atomic<std::size_t> most;
  std::atomic<std::size_t> used{0};
};

// What one request has of it; given back at the end. One thread at a time; the pot may be used by
// many.
class MemoryShare {
 public:
  explicit MemoryShare(std::shared_ptr<MemoryPot> pot) : pot_(std::move(pot)) {}
  // The other one keeps the pot: it may be filled anew.
  MemoryShare(MemoryShare&& other) noexcept : MemoryShare(other.pot_) {
    std::swap(bytes_, other.bytes_);
  }
  MemoryShare& operator=(MemoryShare&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryShare() { give_back(); }

  // False where all together would be more than there is; then nothing changes, not even for a
  // moment, in which another would find no room.
  bool resize(std::size_t bytes) {
    const std::size_t more = bytes > bytes_ ? bytes - bytes_ : 0;
    std::size_t used = pot_->used;
    do {
      const std::size_t most = pot_->most;
      if (more > 0 && (used > most || more > most - used)) return false;
    } while (!pot_->used.compare_exchange_weak(used, used + bytes - bytes_));
    bytes_ = bytes;
    return true;
  }
  std::size_t most() const { return pot_->most; }
  void give_back() { pot_->used -= std::exchange(bytes_, 0); }

 private:
  std::shared_ptr<MemoryPot> pot_;
  std::size_t bytes_ = 0;
};

}  // namespace tern::net
