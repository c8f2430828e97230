// Builds GGUF bytes field by field, so that a test can make any one of them wrong. Unlike
// GgufWriter it checks nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::test {

class Bytes {
 public:
  template <typename T>
  Bytes& put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    const auto* raw = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), raw, raw + sizeof value);
    return *this;
  }
  Bytes& u8(std::uint8_t value) { return put(value); }
  Bytes& u32(std::uint32_t value) { return put(value); }
  Bytes& u64(std::uint64_t value) { return put(value); }
  Bytes& raw(std::string_view text) {
    for (const char c : text) put(c);
    return *this;
  }
  // A length, then the text.
  Bytes& text(std::string_view text) { return u64(text.size()).raw(text); }
  Bytes& zeros(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  Bytes& append(const Bytes& other) {
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    return *this;
  }

  std::size_t size() const { return bytes_.size(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// The ids as the format numbers them, written out so that the tests do not lean on the reader.
enum ValueId : std::uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64
};
enum TypeId : std::uint32_t {
  kTypeF32 = 0,
  kTypeF16 = 1,
  kTypeQ4_0 = 2,
  kTypeQ8_0 = 8,
  kTypeQ6_K = 14,
  kTypeTQ1_0 = 34,
  kTypeTQ2_0 = 35,
  kTypeI2_S = 36,
  kTypeTL1 = 38,
  kTypeTL2 = 39,
  kTypeIQ1_BN = 134,
  kTypeIQ2_BN = 135
};

class GgufBuilder {
 public:
  GgufBuilder& magic(std::string_view text) {
    magic_ = text;
    return *this;
  }
  GgufBuilder& version(std::uint32_t version) {
    version_ = version;
    return *this;
  }
  // What the header claims, where that is not the truth.
  GgufBuilder& claim_tensors(std::uint64_t count) {
    claimed_tensors_ = count;
    return *this;
  }
  GgufBuilder& claim_keys(std::uint64_t count) {
    claimed_keys_ = count;
    return *this;
  }

  GgufBuilder& key(std::string_view name, std::uint32_t type, const Bytes& value) {
    keys_.text(name).u32(type).append(value);
    ++key_count_;
    return *this;
  }
  GgufBuilder& key(std::string_view name, std::uint32_t value) {
    return key(name, kU32, Bytes().u32(value));
  }
  GgufBuilder& array(std::string_view name, std::uint32_t type, std::uint64_t count,
                     const Bytes& elements) {
    return key(name, kArray, Bytes().u32(type).u64(count).append(elements));
  }
  GgufBuilder& tensor(std::string_view name, std::initializer_list<std::uint64_t> shape,
                      std::uint32_t type, std::uint64_t offset) {
    tensors_.text(name).u32(static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t dimension : shape) tensors_.u64(dimension);
    tensors_.u32(type).u64(offset);
    ++tensor_count_;
    return *this;
  }
  // Bytes in the place of the next key or tensor entry, counted as one.
  GgufBuilder& raw_key(const Bytes& entry) {
    keys_.append(entry);
    ++key_count_;
    return *this;
  }
  GgufBuilder& raw_tensor(const Bytes& entry) {
    tensors_.append(entry);
    ++tensor_count_;
    return *this;
  }

  // Everything in front of the data section, without padding.
  std::vector<std::byte> head() const {
    return Bytes()
        .raw(magic_)
        .u32(version_)
        .u64(claimed_tensors_.value_or(tensor_count_))
        .u64(claimed_keys_.value_or(key_count_))
        .append(keys_)
        .append(tensors_)
        .bytes();
  }
  // The whole file, with `data_bytes` zeros as data.
  std::vector<std::byte> file(std::size_t data_bytes, std::size_t alignment = 32) const {
    auto bytes = head();
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment + data_bytes);
    return bytes;
  }

 private:
  std::string_view magic_ = "GGUF";
  std::uint32_t version_ = 3;
  std::optional<std::uint64_t> claimed_tensors_;
  std::optional<std::uint64_t> claimed_keys_;
  std::uint64_t key_count_ = 0;
  std::uint64_t tensor_count_ = 0;
  Bytes keys_;
  Bytes tensors_;
};

}  // namespace tern::test
