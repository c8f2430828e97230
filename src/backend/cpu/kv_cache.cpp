#include "backend/cpu/kv_cache.h"

namespace tern::backend {

using kernels::kPageKeys;
using kernels::kValueAlign;

std::size_t KvShape::value_width() const {
  return (head_dim + kValueAlign - 1) / kValueAlign * kValueAlign;
}

std::size_t KvShape::page_bytes() const {
  return std::size_t{layers} * kv_heads * (key_elements() + value_elements()) *
         sizeof(std::uint16_t);
}

Result<void> CpuKvCache::reserve(std::uint32_t tokens) {
  while (pages_.size() * kPageKeys < tokens) {
    TERN_ASSIGN(AlignedBuffer page, AlignedBuffer::allocate(shape_.page_bytes(), "KV cache page"));
    pages_.push_back(std::move(page));
  }
  return {};
}

std::uint16_t* CpuKvCache::keys(std::size_t page, std::uint32_t layer, std::uint32_t kv_head) {
  const std::size_t index = std::size_t{layer} * shape_.kv_heads + kv_head;
  return pages_[page].as<std::uint16_t>() +
         index * (shape_.key_elements() + shape_.value_elements());
}

std::uint16_t* CpuKvCache::values(std::size_t page, std::uint32_t layer, std::uint32_t kv_head) {
  return keys(page, layer, kv_head) + shape_.key_elements();
}

std::span<const std::byte> CpuKvCache::page_bytes(std::size_t page) const {
  return {pages_[page].data(), shape_.page_bytes()};
}

}  // namespace tern::backend
