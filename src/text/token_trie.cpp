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
  std::size_t node = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    node = child(node, text[i]);
    if (node == 0) break;
    if (nodes_[node].token >= 0) best = {i - at + 1, nodes_[node].token};
  }
  return best;
}

}  // namespace tern::text
