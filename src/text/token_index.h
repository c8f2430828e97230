// From the bytes of a token to its id: an open-addressing hash table, at most half full; loading a
// vocabulary of 128,000 tokens asks it a million times. Borrows the bytes. Immutable once built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/keyed_hash.h"
#include "text/token.h"

namespace tern::text {

// How many insertions or look-ups before its own a place is fetched: enough to hide main memory.
inline constexpr std::size_t kFetchAhead = 16;

class TokenIndex {
 public:
  explicit TokenIndex(std::size_t tokens);
  // Begins to fetch the place of the bytes from memory: many are then under way at once.
  void fetch(std::string_view bytes) const;
  // False where the bytes are there already. At most as many inserts as the constructor was told.
  bool insert(std::string_view bytes, TokenId token);
  std::optional<TokenId> find(std::string_view bytes) const;

 private:
  struct Slot {
    std::string_view bytes;
    std::uint32_t hash = 0;
    TokenId token = -1;
  };
  std::uint32_t hash_of(std::string_view bytes) const;
  std::size_t slot_of(std::string_view bytes, std::uint32_t hash) const;

  KeyedHash hash_;
  std::vector<Slot> slots_;
};

}  // namespace tern::text
