#include "backend/cpu/kv_cache.h"

#include <algorithm>
#include <cstring>

namespace tern::backend {

using format::KvType;
using kernels::kChunkKeys;
using kernels::kPageKeys;
using kernels::kPagesPerChunk;
using kernels::kQuad;
using kernels::kValueAlign;

namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Numbers of the splitmix64 generator, any seed.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

// f16 of either sign between 1/8 and 2.
void fill_f16(Random& random, std::byte* at, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += sizeof(std::uint64_t)) {
    const std::uint64_t four = (random.next() & 0x8fff8fff8fff8fffu) | 0x3000300030003000u;
    std::memcpy(at + i, &four, sizeof four);
  }
}

// Codes from -64 to 63.
void fill_codes(Random& random, std::byte* at, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random.next();
    std::int8_t eight[sizeof word];
    std::memcpy(eight, &word, sizeof word);
    for (std::int8_t& code : eight) code = static_cast<std::int8_t>(code >> 1);
    std::memcpy(at + i, eight, sizeof eight);
  }
}

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

Result<void> CpuKvCache::reserve(std::uint32_t tokens) {
  while (blocks_.size() * kChunkKeys < tokens) {
    TERN_ASSIGN(AlignedBuffer block, AlignedBuffer::allocate(shape_.block_bytes(), "KV cache"));
    blocks_.push_back(std::move(block));
  }
  return {};
}

Result<void> CpuKvCache::fill(std::uint32_t tokens) {
  TERN_TRY(reserve(tokens));
  Random random(0);
  const std::size_t elements = kPagesPerChunk * (shape_.key_bytes() + shape_.value_bytes());
  for (AlignedBuffer& block : blocks_) {
    for (std::size_t at = 0; at < shape_.block_bytes(); at += shape_.part_bytes()) {
      if (shape_.type == KvType::kF16) {
        fill_f16(random, block.data() + at, elements);
      } else {
        fill_codes(random, block.data() + at, elements);
        std::fill_n(block.as<float>(at + elements), 2 * kChunkKeys, 1.0f / 64);
      }
    }
  }
  return {};
}

CpuKvCache::Page CpuKvCache::page_at(std::size_t page, std::uint32_t layer, std::uint32_t kv_head) {
  const std::size_t part = (std::size_t{layer} * shape_.kv_heads + kv_head) * shape_.part_bytes();
  const std::size_t within = page % kPagesPerChunk;
  std::byte* keys = blocks_[page / kPagesPerChunk].data() + part;
  std::byte* values = keys + kPagesPerChunk * shape_.key_bytes();
  auto* scales = reinterpret_cast<float*>(values + kPagesPerChunk * shape_.value_bytes());
  return {keys + within * shape_.key_bytes(), values + within * shape_.value_bytes(),
          scales + within * kPageKeys, scales + kChunkKeys + within * kPageKeys};
}

bool CpuKvCache::store(const kernels::KernelTable& table, std::uint32_t position,
                       std::uint32_t layer, std::uint32_t kv_head, const float* key,
                       const float* value, std::int8_t* codes) {
  const Page page = page_at(position / kPageKeys, layer, kv_head);
  const std::size_t slot = position % kPageKeys;
  return shape_.type == KvType::kF16 ? store_f16(table, page, slot, key, value)
                                     : store_int8(table, page, slot, key, value, codes);
}

bool CpuKvCache::store_f16(const kernels::KernelTable& table, const Page& page, std::size_t slot,
                           const float* key, const float* value) const {
  auto* keys = reinterpret_cast<std::uint16_t*>(page.keys) + slot;
  auto* values = reinterpret_cast<std::uint16_t*>(page.values) + slot * shape_.value_width();
  return table.store_f16(key, shape_.head_dim, keys, kPageKeys) &&
         table.store_f16(value, shape_.head_dim, values, 1);
}

bool CpuKvCache::store_int8(const kernels::KernelTable& table, const Page& page, std::size_t slot,
                            const float* key, const float* value, std::int8_t* codes) const {
  std::int32_t sum = 0;
  if (!table.quantize(key, shape_.head_dim, shape_.key_width(), codes, page.key_scales + slot,
                      &sum)) {
    return false;
  }
  for (std::size_t d = 0; d < shape_.key_width(); d += kQuad) {
    std::memcpy(page.keys + d * kPageKeys + slot * kQuad, codes + d, kQuad);
  }
  if (!table.quantize(value, shape_.head_dim, shape_.head_dim, codes, page.value_scales + slot,
                      &sum)) {
    return false;
  }
  std::byte* first = page.values + slot / kQuad * kQuad * shape_.value_width() + slot % kQuad;
  for (std::size_t d = 0; d < shape_.head_dim; ++d) {
    first[d * kQuad] = static_cast<std::byte>(codes[d]);
  }
  return true;
}

kernels::KeyValuePage CpuKvCache::f16_page(std::size_t page, std::uint32_t layer,
                                           std::uint32_t head) {
  const Page at = page_at(page, layer, head);
  return {reinterpret_cast<const std::uint16_t*>(at.keys),
          reinterpret_cast<const std::uint16_t*>(at.values)};
}

kernels::Int8Page CpuKvCache::int8_page(std::size_t page, std::uint32_t layer, std::uint32_t head) {
  const Page at = page_at(page, layer, head);
  return {reinterpret_cast<const std::int8_t*>(at.keys),
          reinterpret_cast<const std::int8_t*>(at.values), at.key_scales, at.value_scales};
}

std::span<const std::byte> CpuKvCache::block_bytes(std::size_t block) const {
  return {blocks_[block].data(), shape_.block_bytes()};
}

}  // namespace tern::backend
