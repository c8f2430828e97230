#include "hub/blob_hash.h"

#include <openssl/evp.h>

#include <array>

namespace tern::hub {

struct BlobHash::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

BlobHash::BlobHash(std::string_view expected, std::uint64_t size)
    : state_(std::make_unique<State>()) {
  constexpr std::size_t kGitDigits = 40;
  const bool git = expected.size() == kGitDigits;
  EVP_DigestInit_ex(state_->context, git ? EVP_sha1() : EVP_sha256(), nullptr);
  if (!git) return;
  const std::string head = "blob " + std::to_string(size) + std::string(1, '\0');
  update(std::as_bytes(std::span(head)));
}

BlobHash::~BlobHash() = default;
BlobHash::BlobHash(BlobHash&&) noexcept = default;
BlobHash& BlobHash::operator=(BlobHash&&) noexcept = default;

void BlobHash::update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

std::string BlobHash::finish() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  EVP_DigestFinal_ex(state_->context, bytes.data(), &size);
  std::string text;
  for (unsigned i = 0; i < size; ++i) text.append({kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]});
  return text;
}

}  // namespace tern::hub
