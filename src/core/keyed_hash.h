// A hash for tables whose keys a foreign file or a client chooses: each has a key of its own, so
// that nobody can choose many names of one slot and make each search a walk over all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern {

class KeyedHash {
 public:
  KeyedHash();
  std::size_t operator()(std::string_view bytes) const;

 private:
  std::uint64_t key_;
};

}  // namespace tern
