#include "format/gguf/fingerprint.h"

#include <algorithm>
#include <array>

#include "core/sha256.h"

namespace tern::format {
namespace {

constexpr std::uint64_t kSamples = 64;
constexpr std::uint64_t kSampleBytes = 4096;

// Where the tensors begin: all before that is header.
std::uint64_t header_bytes(const GgufFile& file) {
  std::uint64_t begin = file.bytes().size();
  for (const Tensor& tensor : file.tensors()) {
    begin = std::min(begin, static_cast<std::uint64_t>(tensor.data.data() - file.bytes().data()));
  }
  return begin;
}

void add_content(Sha256& hash, const GgufFile& file) {
  const std::uint64_t begin = header_bytes(file);
  hash.update(file.bytes().first(begin));
  const auto tensors = file.bytes().subspan(begin);
  const std::uint64_t sample = std::min<std::uint64_t>(kSampleBytes, tensors.size());
  for (std::uint64_t i = 0; i < kSamples; ++i) {  // the first block, the last, and those between
    const std::uint64_t at = (tensors.size() - sample) / (kSamples - 1) * i;
    hash.update(tensors.subspan(i + 1 == kSamples ? tensors.size() - sample : at, sample));
  }
  for (const Tensor& tensor : file.tensors()) file.release(tensor);  // samples bring in large pages
  for (const Tensor& tensor : file.tensors()) {
    if (!tensor.tiling.known()) continue;  // else what its bytes mean may stand in another file
    hash.update(std::as_bytes(std::span(&tensor.tiling, 1)));
  }
}

}  // namespace

std::string content_fingerprint(const GgufFile& file) {
  const std::array<std::uint64_t, 1> size{file.bytes().size()};
  Sha256 hash;
  hash.update(std::as_bytes(std::span(size)));
  add_content(hash, file);
  return hash.finish();
}

std::optional<std::string> fingerprint(const GgufFile& file) {
  const auto identity = file.identity();
  if (!identity) return std::nullopt;
  const std::array<std::uint64_t, 4> numbers{identity->inode, identity->size,
                                             static_cast<std::uint64_t>(identity->modified),
                                             static_cast<std::uint64_t>(identity->changed)};
  Sha256 hash;
  hash.update(std::as_bytes(std::span(numbers)));
  add_content(hash, file);
  return hash.finish();
}

}  // namespace tern::format
