// What somebody would send who wants a table of hashes to be slow.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>

namespace tern::test {

// Names of eight characters of ASCII, as JSON writes them, whose std::hash in libstdc++
// (MurmurHash2 with a seed that everybody knows) is a multiple of `buckets`.
class CollidingNames {
 public:
  explicit CollidingNames(std::uint64_t buckets) : buckets_(buckets) {}

  std::string next() {
    for (;;) {
      std::uint64_t word = unhashed(random_() % (~0ull / buckets_) * buckets_);
      std::array<char, sizeof word> name{};
      std::memcpy(name.data(), &word, sizeof word);
      if ((word & 0x8080808080808080u) == 0) return {name.data(), name.size()};
    }
  }

 private:
  static constexpr std::uint64_t kFactor = 0xc6a4a7935bd1e995u;
  static std::uint64_t shifted(std::uint64_t x) { return x ^ (x >> 47); }  // its own inverse
  static std::uint64_t divided(std::uint64_t x) {  // by the factor, modulo 2^64
    std::uint64_t inverse = kFactor;
    for (int i = 0; i < 6; ++i) inverse *= 2 - kFactor * inverse;
    return x * inverse;
  }
  static std::uint64_t unhashed(std::uint64_t hash) {
    const std::uint64_t begin = 0xc70f6907u ^ (sizeof hash * kFactor);
    const std::uint64_t data = divided(shifted(divided(shifted(hash)))) ^ begin;
    return divided(shifted(divided(data)));
  }

  std::uint64_t buckets_;
  std::mt19937_64 random_{1};
};

}  // namespace tern::test
