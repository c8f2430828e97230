#include "text/token_trie.h"

namespace tern::text {

std::size_t TokenTrie::child(std::size_t node, char byte) const {
  for (const auto& [label, target] : nodes_[node].children) {
    if (label == byte) return target;
  }
  return 0;
}

void TokenTrie::insert(std::string_view name, TokenId token) {
  std::size_t node = 0;
  for (const char byte : name) {
    std::size_t next = child(node, byte);
    if (next == 0) {
      next = nodes_.size();
      nodes_[node].children.emplace_back(byte, next);
      nodes_.emplace_back();
    }
    node = next;
  }
  nodes_[node].token = token;
}

TokenTrie::Match TokenTrie::longest_at(std::string_view text, std::size_t at) const {
  Match best;
  each_at(text, at, [&](std::size_t length, TokenId token) { best = {length, token}; });
  return best;
}

}  // namespace tern::text
