#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace tern::text {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

std::uint64_t pair_of(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(std::size_t merges) : slots_(std::bit_ceil(2 * merges + 2)) {}

// The slot where the search for the pair begins.
std::size_t MergeTable::home_of(std::uint64_t pair) const {
  std::uint64_t hash = pair;  // the finalizer of MurmurHash3
  hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCDu;
  hash = (hash ^ hash >> 33) * 0xC4CEB9FE1A85EC53u;
  return (hash ^ hash >> 33) & (slots_.size() - 1);
}

// The slot that holds the pair, or the empty one where it belongs.
std::size_t MergeTable::slot_of(std::uint64_t pair) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = home_of(pair);
  while (slots_[slot].entry.rank != kNoRank && slots_[slot].pair != pair) slot = (slot + 1) & mask;
  return slot;
}

void MergeTable::fetch(TokenId left, TokenId right) const {
  __builtin_prefetch(&slots_[home_of(pair_of(left, right))]);
}

bool MergeTable::insert(const Merge& merge) {
  const std::uint64_t pair = pair_of(merge.left, merge.right);
  Slot& slot = slots_[slot_of(pair)];
  if (slot.entry.rank != kNoRank) return false;
  slot = {pair, {merge.rank, merge.result}};
  return true;
}

MergeTable::Entry MergeTable::find(TokenId left, TokenId right) const {
  return slots_[slot_of(pair_of(left, right))].entry;
}

void BpeEncoder::load(const MergeTable& merges, std::span<const TokenId> symbols) {
  symbols_.clear();
  heap_.clear();
  const std::size_t size = symbols.size();
  for (std::size_t i = 0; i < size; ++i) {
    symbols_.push_back({i == 0 ? kNone : i - 1, i + 1 == size ? kNone : i + 1, symbols[i], {}});
  }
  for (std::size_t i = 0; i + 1 < size; ++i) {
    symbols_[i].merge = merges.find(symbols_[i].token, symbols_[i + 1].token);
    if (symbols_[i].merge.rank != kNoRank) heap_.push_back({symbols_[i].merge.rank, i});
  }
  std::make_heap(heap_.begin(), heap_.end(), GoesLater{});
  steps_ += size;
}

// Looks up the pair that begins at `left` anew; a candidate of before that no longer agrees with
// the symbol's rank is dropped when it comes up.
void BpeEncoder::renew_candidate(const MergeTable& merges, std::size_t left) {
  Symbol& symbol = symbols_[left];
  symbol.merge = symbol.next == kNone ? MergeTable::Entry{}
                                      : merges.find(symbol.token, symbols_[symbol.next].token);
  ++steps_;
  if (symbol.merge.rank == kNoRank) return;
  heap_.push_back({symbol.merge.rank, left});
  std::push_heap(heap_.begin(), heap_.end(), GoesLater{});
  ++steps_;
}

void BpeEncoder::merge_with_next(const MergeTable& merges, std::size_t left) {
  Symbol& symbol = symbols_[left];
  Symbol& gone = symbols_[symbol.next];
  symbol.token = symbol.merge.result;
  gone.merge = {};
  symbol.next = gone.next;
  if (symbol.next != kNone) symbols_[symbol.next].previous = left;
  renew_candidate(merges, left);
  if (symbol.previous != kNone) renew_candidate(merges, symbol.previous);
}

void BpeEncoder::encode(const MergeTable& merges, std::span<const TokenId> symbols,
                        std::vector<TokenId>& out) {
  if (symbols.empty()) return;
  load(merges, symbols);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), GoesLater{});
    const Candidate best = heap_.back();
    heap_.pop_back();
    ++steps_;
    if (symbols_[best.left].merge.rank == best.rank) merge_with_next(merges, best.left);
  }
  for (std::size_t i = 0; i != kNone; i = symbols_[i].next) out.push_back(symbols_[i].token);
}

}  // namespace tern::text
