// Keys and values of one sequence on the CPU: f16 pages of kPageKeys positions.
//
// A page holds, for each layer and KV head, K as [head_dim][kPageKeys] (so that attention takes
// many keys at once) and V as [kPageKeys][round_up(head_dim, kValueAlign)]. Pages are zeroed at
// first.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "core/aligned_buffer.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

struct KvShape {
  std::uint32_t layers;
  std::uint32_t kv_heads;
  std::uint32_t head_dim;

  std::size_t value_width() const;  // floats in a padded row of V
  std::size_t key_elements() const { return std::size_t{head_dim} * kernels::kPageKeys; }
  std::size_t value_elements() const { return value_width() * kernels::kPageKeys; }
  std::size_t page_bytes() const;
};

class CpuKvCache final : public KvCache {
 public:
  explicit CpuKvCache(const KvShape& shape) : shape_(shape) {}

  Result<void> reserve(std::uint32_t tokens) override;

  const KvShape& shape() const { return shape_; }
  std::size_t pages() const { return pages_.size(); }
  std::uint16_t* keys(std::size_t page, std::uint32_t layer, std::uint32_t kv_head);
  std::uint16_t* values(std::size_t page, std::uint32_t layer, std::uint32_t kv_head);
  std::span<const std::byte> page_bytes(std::size_t page) const;

 private:
  KvShape shape_;
  std::vector<AlignedBuffer> pages_;
};

}  // namespace tern::backend
