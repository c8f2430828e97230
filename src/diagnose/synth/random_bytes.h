// Endless random bytes, the same for the same seed and stream on every machine: Philox words of
// ascending counters, low byte first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tern::diagnose {

class RandomBytes {
 public:
  RandomBytes(std::uint64_t seed, std::uint32_t stream) : seed_(seed), stream_(stream) {}

  std::uint8_t next() {
    if (at_ == bytes_.size()) refill();
    return bytes_[at_++];
  }

  // Fills `trits` with uniform -1, 0 and +1: five from each byte below 3^5, none from the others.
  // Writes up to kTritSlack values behind `count`; they are dropped.
  void fill_trits(std::int8_t* trits, std::size_t count);
  static constexpr std::size_t kTritSlack = 8;

 private:
  void refill();

  std::uint64_t seed_;
  std::uint32_t stream_;
  std::uint64_t block_ = 0;
  std::array<std::uint8_t, 4096> bytes_{};
  std::size_t at_ = bytes_.size();
};

}  // namespace tern::diagnose
