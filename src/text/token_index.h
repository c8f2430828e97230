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

class TokenIndex {
 public:
  explicit TokenIndex(std::size_t tokens);
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
