// The vectors of FIPS 180-4 (its examples of one block, two blocks, and a million letters).
#include "core/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace tern {
namespace {

void update(Sha256& hash, std::string_view text) { hash.update(std::as_bytes(std::span(text))); }

std::string hash_of(std::string_view text) {
  Sha256 hash;
  update(hash, text);
  return hash.finish();
}

TEST(Sha256, FipsVectors) {
  EXPECT_EQ(hash_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash_of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, IsTheSameInPieces) {
  const std::string text(1000, 'x');
  for (const std::size_t piece : {1u, 63u, 64u, 65u, 999u}) {
    Sha256 hash;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      update(hash, std::string_view(text).substr(at, piece));
    }
    EXPECT_EQ(hash.finish(), hash_of(text)) << piece;
  }
}

TEST(Sha256, MovesWithItsState) {
  Sha256 first;
  update(first, "a");
  Sha256 second = std::move(first);
  update(second, "bc");
  EXPECT_EQ(second.finish(), hash_of("abc"));
}

TEST(Sha256, OfAText) {
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_NE(sha256_of("abd"), sha256_of("abc"));
}

TEST(EqualInConstantTime, IsEquality) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_in_constant_time("abc", "bbc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "ab"));
  EXPECT_FALSE(equal_in_constant_time("ab", "abc"));
}

}  // namespace
}  // namespace tern
