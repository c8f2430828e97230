#include "core/random_hex.h"

#include <array>
#include <cstdlib>

namespace tern {

std::string random_hex(std::size_t bytes) {
  constexpr std::array kDigits = {'0', '1', '2', '3', '4', '5', '6', '7',
                                  '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
  std::string random(bytes, '\0');
  ::arc4random_buf(random.data(), bytes);
  std::string text;
  text.reserve(2 * bytes);
  for (const char each : random) {
    const auto byte = static_cast<unsigned char>(each);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace tern
