// The hash by which a hub knows a file: SHA-256 of the bytes of a large one, and of a small one
// what git calls it: SHA-1 of "blob LENGTH", a zero, and the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tern::hub {

class BlobHash {
 public:
  // Of the kind that `expected` has, by its length: 40 digits are git's.
  BlobHash(std::string_view expected, std::uint64_t size);
  ~BlobHash();
  BlobHash(BlobHash&&) noexcept;
  BlobHash& operator=(BlobHash&&) noexcept;

  void update(std::span<const std::byte> bytes);
  // Lower-case hexadecimal digits. Call once, last.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tern::hub
