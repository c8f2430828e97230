#include "backend/cpu/kv_cache.h"

#include <algorithm>
#include <cstring>

namespace tern::backend {

using format::KvType;
using kernels::kPageKeys;
using kernels::kQuad;

namespace {

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

CpuKvCache::~CpuKvCache() {
  for (const CpuKvPool::PageId page : pages_) pool_.give_back(page);
}

Result<void> CpuKvCache::reserve(std::uint32_t tokens) {
  const std::size_t wanted = KvPool::pages_for(tokens);
  return wanted <= pages_.size() ? Result<void>{} : pool_.take(wanted - pages_.size(), pages_);
}

Result<void> CpuKvCache::fill(std::uint32_t tokens) {
  TERN_TRY(reserve(tokens));
  Random random(0);
  const KvShape& shape = pool_.shape();
  for (const CpuKvPool::PageId id : pages_) {
    for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
      for (std::uint32_t head = 0; head < shape.kv_heads; ++head) {
        const Page page = pool_.at(id, layer, head);
        if (shape.type == KvType::kF16) {
          fill_f16(random, page.keys, shape.key_bytes());
          fill_f16(random, page.values, shape.value_bytes());
        } else {
          fill_codes(random, page.keys, shape.key_bytes());
          fill_codes(random, page.values, shape.value_bytes());
          std::fill_n(page.key_scales, kPageKeys, 1.0f / 64);
          std::fill_n(page.value_scales, kPageKeys, 1.0f / 64);
        }
      }
    }
  }
  return {};
}

bool CpuKvCache::store(const kernels::KernelTable& table, std::uint32_t position,
                       std::uint32_t layer, std::uint32_t kv_head, const float* key,
                       const float* value, std::int8_t* codes) {
  const Page page = pool_.at(pages_[position / kPageKeys], layer, kv_head);
  const std::size_t slot = position % kPageKeys;
  return shape().type == KvType::kF16 ? store_f16(table, page, slot, key, value)
                                      : store_int8(table, page, slot, key, value, codes);
}

bool CpuKvCache::store_f16(const kernels::KernelTable& table, const Page& page, std::size_t slot,
                           const float* key, const float* value) const {
  auto* keys = reinterpret_cast<std::uint16_t*>(page.keys) + slot;
  auto* values = reinterpret_cast<std::uint16_t*>(page.values) + slot * shape().value_width();
  return table.store_f16(key, shape().head_dim, keys, kPageKeys) &&
         table.store_f16(value, shape().head_dim, values, 1);
}

bool CpuKvCache::store_int8(const kernels::KernelTable& table, const Page& page, std::size_t slot,
                            const float* key, const float* value, std::int8_t* codes) const {
  std::int32_t sum = 0;
  if (!table.quantize(key, shape().head_dim, shape().key_width(), codes, page.key_scales + slot,
                      &sum)) {
    return false;
  }
  for (std::size_t d = 0; d < shape().key_width(); d += kQuad) {
    std::memcpy(page.keys + d * kPageKeys + slot * kQuad, codes + d, kQuad);
  }
  if (!table.quantize(value, shape().head_dim, shape().head_dim, codes, page.value_scales + slot,
                      &sum)) {
    return false;
  }
  std::byte* first = page.values + slot / kQuad * kQuad * shape().value_width() + slot % kQuad;
  for (std::size_t d = 0; d < shape().head_dim; ++d) {
    first[d * kQuad] = static_cast<std::byte>(codes[d]);
  }
  return true;
}

}  // namespace tern::backend
