// Byte-pair encoding of a run of symbols: of all neighbouring pairs that the vocabulary merges, the
// one of the lowest rank becomes one symbol, the leftmost of equals, until no pair is left.
// O(n log n) for n symbols: a linked list of them and a heap of candidates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "text/token.h"
#include "text/vocabulary.h"

namespace tern::text {

inline constexpr std::uint32_t kNoRank = 0xFFFFFFFF;

// The merges by their pair: an open-addressing hash table, at most half full. Immutable once built.
class MergeTable {
 public:
  struct Entry {
    std::uint32_t rank = kNoRank;
    TokenId result = 0;
  };

  explicit MergeTable(std::size_t merges);
  // Begins to fetch the place of the pair from memory, as TokenIndex::fetch().
  void fetch(TokenId left, TokenId right) const;
  // False where the pair is there already. At most as many inserts as the constructor was told.
  bool insert(const Merge& merge);
  // Rank kNoRank where the pair does not merge.
  Entry find(TokenId left, TokenId right) const;

 private:
  struct Slot {
    std::uint64_t pair = 0;
    Entry entry;
  };
  std::size_t home_of(std::uint64_t pair) const;
  std::size_t slot_of(std::uint64_t pair) const;

  std::vector<Slot> slots_;
};

// Encodes runs of symbols; its buffers are kept from one to the next. One per thread.
class BpeEncoder {
 public:
  // Appends what the merges make of the symbols.
  void encode(const MergeTable& merges, std::span<const TokenId> symbols,
              std::vector<TokenId>& out);

  // Look-ups and heap operations so far: the measure of the work, for tests.
  std::uint64_t steps() const { return steps_; }

 private:
  struct Symbol {
    std::size_t previous;
    std::size_t next;
    TokenId token;
    MergeTable::Entry merge;  // of this symbol and the next one
  };
  struct Candidate {
    std::uint32_t rank;
    std::size_t left;
  };
  // A type, not a function, so that the heap's algorithms inline it.
  struct GoesLater {
    bool operator()(const Candidate& a, const Candidate& b) const {
      return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
    }
  };

  void load(const MergeTable& merges, std::span<const TokenId> symbols);
  void merge_with_next(const MergeTable& merges, std::size_t left);
  void renew_candidate(const MergeTable& merges, std::size_t left);

  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  std::uint64_t steps_ = 0;
};

}  // namespace tern::text
