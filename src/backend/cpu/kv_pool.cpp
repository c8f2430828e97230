#include "backend/cpu/kv_pool.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "backend/cpu/kv_cache.h"

namespace tern::backend {

using format::KvType;
using kernels::kChunkKeys;
using kernels::kPageKeys;
using kernels::kPagesPerChunk;
using kernels::kQuad;
using kernels::kValueAlign;

static_assert(KvPool::kPageTokens == kPageKeys);

namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

std::size_t KvShape::key_width() const {
  return type == KvType::kF16 ? head_dim : round_up(head_dim, kQuad);
}

std::size_t KvShape::value_width() const { return round_up(head_dim, kValueAlign); }

std::size_t KvShape::key_bytes() const {
  return key_width() * kPageKeys * (type == KvType::kF16 ? sizeof(std::uint16_t) : 1);
}

std::size_t KvShape::value_bytes() const {
  return value_width() * kPageKeys * (type == KvType::kF16 ? sizeof(std::uint16_t) : 1);
}

std::size_t KvShape::part_bytes() const {
  return kPagesPerChunk * (key_bytes() + value_bytes()) +
         (type == KvType::kF16 ? 0 : 2 * kChunkKeys * sizeof(float));
}

std::size_t KvShape::block_bytes() const { return std::size_t{layers} * kv_heads * part_bytes(); }

CpuKvPool::CpuKvPool(const KvShape& shape, std::uint32_t pages)
    : shape_(shape),
      key_bytes_(shape.key_bytes()),
      value_bytes_(shape.value_bytes()),
      part_bytes_(shape.part_bytes()),
      pages_(pages) {
  given_back_.reserve(pages);
}

std::unique_ptr<KvCache> CpuKvPool::make_cache() { return std::make_unique<CpuKvCache>(*this); }

Result<void> CpuKvPool::take(std::size_t count, std::vector<PageId>& taken) {
  TERN_TRY(require(count));
  const std::size_t reused = std::min(count, given_back_.size());
  const std::size_t last = next_ + (count - reused);  // behind the pages taken for the first time
  while (blocks_.size() * kPagesPerChunk < last) {
    TERN_ASSIGN(const std::span<std::byte> block,
                memory_.allocate(shape_.block_bytes(), "KV cache"));
    blocks_.push_back(block);
  }
  for (std::size_t i = 0; i < reused; ++i) {
    std::pop_heap(given_back_.begin(), given_back_.end(), std::greater<>());
    taken.push_back(given_back_.back());
    given_back_.pop_back();
    clear(taken.back());
  }
  while (next_ < last) taken.push_back(next_++);
  return {};
}

void CpuKvPool::give_back(PageId page) {
  given_back_.push_back(page);
  std::push_heap(given_back_.begin(), given_back_.end(), std::greater<>());
}

// A page that failed may hold what no kernel may read.
void CpuKvPool::clear(PageId page) {
  for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
    for (std::uint32_t head = 0; head < shape_.kv_heads; ++head) {
      const Page part = at(page, layer, head);
      std::memset(part.keys, 0, shape_.key_bytes());
      std::memset(part.values, 0, shape_.value_bytes());
      if (shape_.type == KvType::kF16) continue;
      std::fill_n(part.key_scales, kPageKeys, 0.0f);
      std::fill_n(part.value_scales, kPageKeys, 0.0f);
    }
  }
}

std::span<std::byte> CpuKvPool::block_bytes(std::size_t block) { return blocks_[block]; }

}  // namespace tern::backend
