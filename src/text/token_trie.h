// Finds the names of tokens in a text: the longest that begins at a place. Immutable once built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "text/token.h"

namespace tern::text {

class TokenTrie {
 public:
  struct Match {
    std::size_t length = 0;  // 0: none
    TokenId token = 0;
  };

  // The name is not empty, and not there already.
  void insert(std::string_view name, TokenId token);
  bool contains(std::string_view name) const { return longest_at(name, 0).length == name.size(); }
  bool empty() const { return nodes_.size() == 1; }

  // Calls visit(length, token) for each name that text begins with at `at`, the shortest first;
  // costs at most the length of the longest name.
  template <typename Visit>
  void each_at(std::string_view text, std::size_t at, Visit visit) const {
    std::size_t node = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
      node = child(node, text[i]);
      if (node == 0) return;
      if (nodes_[node].token >= 0) visit(i - at + 1, nodes_[node].token);
    }
  }

  // The longest name that text begins with at `at`; costs at most the length of the longest name.
  Match longest_at(std::string_view text, std::size_t at) const;

 private:
  struct Node {
    std::vector<std::pair<char, std::size_t>> children;  // by byte; few, so searched in order
    TokenId token = -1;
  };
  std::size_t child(std::size_t node, char byte) const;  // 0: none, the root is nobody's child

  std::vector<Node> nodes_ = std::vector<Node>(1);
};

}  // namespace tern::text
