// Memory for keys and values on the CPU: blocks of kPagesPerChunk pages, side by side on huge
// pages.
//
// A block holds, for each layer and KV head, a part: the keys of its pages, then their values and,
// of int8, the scales of the keys and of the values (kernels/kernel_table.h says what a page is).
// So attention over a chunk whose pages are those of a block, in order, reads one run of memory;
// the pages of a pool that serves one sequence are. The lowest free page is taken first.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "core/arena.h"
#include "format/kv_type.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

struct KvShape {
  std::uint32_t layers;
  std::uint32_t kv_heads;
  std::uint32_t head_dim;
  format::KvType type = format::KvType::kF16;

  std::size_t key_width() const;    // elements of a key, padded
  std::size_t value_width() const;  // elements of a value, padded
  std::size_t key_bytes() const;    // of a page
  std::size_t value_bytes() const;
  std::size_t part_bytes() const;
  std::size_t block_bytes() const;
};

class CpuKvPool final : public KvPool {
 public:
  using PageId = std::uint32_t;

  // A page of one layer and KV head, where it lies.
  struct Page {
    std::byte* keys;
    std::byte* values;
    float* key_scales;  // of int8
    float* value_scales;
  };

  CpuKvPool(const KvShape& shape, std::uint32_t pages);

  std::uint32_t pages() const override { return pages_; }
  std::uint32_t free_pages() const override {
    return pages_ - next_ + static_cast<std::uint32_t>(given_back_.size());
  }
  std::unique_ptr<KvCache> make_cache() override;

  // Adds `count` pages, all zeros, to `taken`, or none. Errors: kOutOfMemory.
  Result<void> take(std::size_t count, std::vector<PageId>& taken);
  void give_back(PageId page);

  // Attention asks for each page of each head.
  Page at(PageId page, std::uint32_t layer, std::uint32_t kv_head) const {
    const std::size_t part = (std::size_t{layer} * shape_.kv_heads + kv_head) * part_bytes_;
    const std::size_t within = page % kernels::kPagesPerChunk;
    std::byte* keys = blocks_[page / kernels::kPagesPerChunk].data() + part;
    std::byte* values = keys + kernels::kPagesPerChunk * key_bytes_;
    auto* scales = reinterpret_cast<float*>(values + kernels::kPagesPerChunk * value_bytes_) +
                   within * kernels::kPageKeys;
    return {keys + within * key_bytes_, values + within * value_bytes_, scales,
            scales + kernels::kChunkKeys};
  }
  const KvShape& shape() const { return shape_; }
  // Where the blocks lie that were allocated so far, in the order of their pages.
  std::size_t blocks() const { return blocks_.size(); }
  std::span<std::byte> block_bytes(std::size_t block);

 private:
  void clear(PageId page);

  KvShape shape_;
  std::size_t key_bytes_;  // of the shape, as are the next two
  std::size_t value_bytes_;
  std::size_t part_bytes_;
  std::uint32_t pages_;
  PageId next_ = 0;                 // the first page that was never taken
  std::vector<PageId> given_back_;  // a heap, the lowest in front; has room for all
  Arena memory_;
  std::vector<std::span<std::byte>> blocks_;  // in it
};

}  // namespace tern::backend
