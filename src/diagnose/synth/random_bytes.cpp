#include "diagnose/synth/random_bytes.h"

#include <cstring>

#include "core/philox.h"

namespace tern::diagnose {
namespace {

constexpr std::size_t kTritsPerByte = 5;
constexpr std::size_t kTritBytes = 243;  // 3^5
using Trits = std::array<std::int8_t, RandomBytes::kTritSlack>;
static_assert(kTritsPerByte <= RandomBytes::kTritSlack);

// The base-3 digits of each byte, the lowest first.
constexpr std::array<Trits, kTritBytes> make_table() {
  std::array<Trits, kTritBytes> table{};
  for (std::size_t byte = 0; byte < kTritBytes; ++byte) {
    std::size_t rest = byte;
    for (std::size_t i = 0; i < kTritsPerByte; ++i, rest /= 3) {
      table[byte][i] = static_cast<std::int8_t>(static_cast<int>(rest % 3) - 1);
    }
  }
  return table;
}
constexpr auto kTable = make_table();

}  // namespace

void RandomBytes::refill() {
  for (std::size_t at = 0; at < bytes_.size(); at += 16, ++block_) {
    const auto words = philox4x32(
        {static_cast<std::uint32_t>(block_), static_cast<std::uint32_t>(block_ >> 32), stream_, 0},
        {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
    for (std::size_t i = 0; i < 16; ++i) {
      bytes_[at + i] = static_cast<std::uint8_t>(words[i / 4] >> (8 * (i % 4)));
    }
  }
  at_ = 0;
}

void RandomBytes::fill_trits(std::int8_t* trits, std::size_t count) {
  for (std::size_t done = 0; done < count;) {
    const std::uint8_t byte = next();
    if (byte >= kTritBytes) continue;
    std::memcpy(trits + done, kTable[byte].data(), sizeof(Trits));  // five count, three are slack
    done += kTritsPerByte;
  }
}

}  // namespace tern::diagnose
