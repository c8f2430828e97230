// Keys and values of one sequence on the CPU: pages of a pool, in the order of their positions.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kv_pool.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

class CpuKvCache final : public KvCache {
 public:
  explicit CpuKvCache(CpuKvPool& pool) : pool_(pool) {}
  ~CpuKvCache() override;
  CpuKvCache(const CpuKvCache&) = delete;
  CpuKvCache& operator=(const CpuKvCache&) = delete;

  Result<void> reserve(std::uint32_t tokens) override;
  Result<void> fill(std::uint32_t tokens) override;

  // Rounds a head's key and value and stores them at `position`. `codes` is memory for key_width()
  // codes, unused for f16. Returns false where the type cannot hold one of them.
  bool store(const kernels::KernelTable& table, std::uint32_t position, std::uint32_t layer,
             std::uint32_t kv_head, const float* key, const float* value, std::int8_t* codes);

  // What the kernels read; the type of the page is that of the pool.
  kernels::KeyValuePage f16_page(std::size_t page, std::uint32_t layer, std::uint32_t head) const {
    const Page at = pool_.at(pages_[page], layer, head);
    return {reinterpret_cast<const std::uint16_t*>(at.keys),
            reinterpret_cast<const std::uint16_t*>(at.values)};
  }
  kernels::Int8Page int8_page(std::size_t page, std::uint32_t layer, std::uint32_t head) const {
    const Page at = pool_.at(pages_[page], layer, head);
    return {reinterpret_cast<const std::int8_t*>(at.keys),
            reinterpret_cast<const std::int8_t*>(at.values), at.key_scales, at.value_scales};
  }

  const KvShape& shape() const { return pool_.shape(); }
  std::uint32_t pages() const override { return static_cast<std::uint32_t>(pages_.size()); }

 private:
  using Page = CpuKvPool::Page;
  bool store_f16(const kernels::KernelTable& table, const Page& page, std::size_t slot,
                 const float* key, const float* value) const;
  bool store_int8(const kernels::KernelTable& table, const Page& page, std::size_t slot,
                  const float* key, const float* value, std::int8_t* codes) const;

  CpuKvPool& pool_;
  std::vector<CpuKvPool::PageId> pages_;
};

}  // namespace tern::backend
