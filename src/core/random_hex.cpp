#include "core/random_hex.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace tern {

std::string random_hex(std::size_t bytes) {
  std::string text;
  text.reserve(2 * bytes);
  while (text.size() < 2 * bytes) {
    std::array<unsigned char, 32> some{};
    const std::size_t left = bytes - text.size() / 2;
    const ssize_t count = ::getrandom(some.data(), left < some.size() ? left : some.size(), 0);
    if (count < 0 && errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "getrandom");
    }
    for (ssize_t i = 0; i < count; ++i) {
      const unsigned byte = some[static_cast<std::size_t>(i)];
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15];
    }
  }
  return text;
}

}  // namespace tern
