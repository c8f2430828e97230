#include "text/token_index.h"

#include <bit>

namespace tern::text {

TokenIndex::TokenIndex(std::size_t tokens) : slots_(std::bit_ceil(2 * tokens + 2)) {}

std::uint32_t TokenIndex::hash_of(std::string_view bytes) const {
  return static_cast<std::uint32_t>(hash_(bytes));
}

// The slot that holds the bytes, or the empty one where they belong.
std::size_t TokenIndex::slot_of(std::string_view bytes, std::uint32_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  while (slots_[at].token >= 0 && (slots_[at].hash != hash || slots_[at].bytes != bytes)) {
    at = (at + 1) & mask;
  }
  return at;
}

void TokenIndex::fetch(std::string_view bytes) const {
  __builtin_prefetch(&slots_[hash_of(bytes) & (slots_.size() - 1)]);
}

bool TokenIndex::insert(std::string_view bytes, TokenId token) {
  const std::uint32_t hash = hash_of(bytes);
  Slot& slot = slots_[slot_of(bytes, hash)];
  if (slot.token >= 0) return false;
  slot = {bytes, hash, token};
  return true;
}

std::optional<TokenId> TokenIndex::find(std::string_view bytes) const {
  const Slot& slot = slots_[slot_of(bytes, hash_of(bytes))];
  return slot.token >= 0 ? std::optional(slot.token) : std::nullopt;
}

}  // namespace tern::text
