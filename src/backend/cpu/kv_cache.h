// Keys and values of one sequence on the CPU: blocks of kChunkKeys positions.
//
// A block holds, for each layer and KV head, a part: the pages of its keys, those of its values
// (kernels/kernel_table.h says what a page is) and, of int8, the scales of the keys and of the
// values. So attention over a chunk reads one run of memory. Blocks are zeroed at first.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "core/aligned_buffer.h"
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

class CpuKvCache final : public KvCache {
 public:
  explicit CpuKvCache(const KvShape& shape) : shape_(shape) {}

  Result<void> reserve(std::uint32_t tokens) override;
  Result<void> fill(std::uint32_t tokens) override;

  // Rounds a head's key and value and stores them at `position`. `codes` is memory for key_width()
  // codes, unused for f16. Returns false where the type cannot hold one of them.
  bool store(const kernels::KernelTable& table, std::uint32_t position, std::uint32_t layer,
             std::uint32_t kv_head, const float* key, const float* value, std::int8_t* codes);

  // What the kernels read; the type of the page is that of the cache.
  kernels::KeyValuePage f16_page(std::size_t page, std::uint32_t layer, std::uint32_t head);
  kernels::Int8Page int8_page(std::size_t page, std::uint32_t layer, std::uint32_t head);

  const KvShape& shape() const { return shape_; }
  std::size_t blocks() const { return blocks_.size(); }
  std::span<const std::byte> block_bytes(std::size_t block) const;

 private:
  // Where a page lies in its block's memory: keys, values, scales of each (of int8).
  struct Page {
    std::byte* keys;
    std::byte* values;
    float* key_scales;
    float* value_scales;
  };
  Page page_at(std::size_t page, std::uint32_t layer, std::uint32_t kv_head);
  bool store_f16(const kernels::KernelTable& table, const Page& page, std::size_t slot,
                 const float* key, const float* value) const;
  bool store_int8(const kernels::KernelTable& table, const Page& page, std::size_t slot,
                  const float* key, const float* value, std::int8_t* codes) const;

  KvShape shape_;
  std::vector<AlignedBuffer> blocks_;
};

}  // namespace tern::backend
