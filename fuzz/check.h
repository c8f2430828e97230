// What the fuzz targets share: a promise that must hold, and an input cut into values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace tern::fuzz {

// A promise that does not hold is a crash, which is what libFuzzer looks for.
inline void require(bool holds) {
  if (!holds) std::abort();
}

// The bytes of an input, taken from the front; behind its end there are zeros.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  template <typename T>
  T take() {
    T value{};
    const std::string_view raw = bytes(sizeof value);
    if (!raw.empty()) std::memcpy(&value, raw.data(), raw.size());
    return value;
  }
  std::uint8_t byte() { return take<std::uint8_t>(); }
  std::size_t below(std::size_t limit) { return byte() % limit; }
  bool flag() { return below(2) != 0; }

  // As many as there are, at most `count`.
  std::string_view bytes(std::size_t count) {
    const std::string_view front = rest_.substr(0, count);
    rest_.remove_prefix(front.size());
    return front;
  }
  // The same as memory of their own: a sanitizer sees each read behind them.
  std::vector<std::byte> copy(std::size_t count) {
    const auto front = std::as_bytes(std::span(bytes(count)));
    return {front.begin(), front.end()};
  }
  std::string_view rest() { return bytes(rest_.size()); }
  std::size_t size() const { return rest_.size(); }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace tern::fuzz
