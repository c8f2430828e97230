#include "text/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "text/vocabularies.h"

namespace tern::text {
namespace {

using testing::ElementsAre;

struct Model {
  MergeTable table;

  explicit Model(const Vocabulary& v) : table(v.merges.size()) {
    for (const Merge& m : v.merges) EXPECT_TRUE(table.insert(m));
  }

  std::vector<TokenId> encode(std::string_view word) const {
    std::vector<TokenId> out;
    BpeEncoder().encode(table, ids_of_bytes(word), out);
    return out;
  }
};

// The definition, word for word: again and again the leftmost pair of the lowest rank.
std::vector<TokenId> by_definition(const Vocabulary& v, std::string_view word) {
  std::vector<TokenId> tokens = ids_of_bytes(word);
  while (true) {
    const Merge* best = nullptr;
    std::size_t where = 0;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      for (const Merge& m : v.merges) {
        if (m.left == tokens[i] && m.right == tokens[i + 1] &&
            (best == nullptr || m.rank < best->rank)) {
          best = &m;
          where = i;
        }
      }
    }
    if (best == nullptr) return tokens;
    tokens[where] = best->result;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
}

TEST(MergeTable, FindsWhatWasInserted) {
  MergeTable table(2);
  EXPECT_TRUE(table.insert({1, 2, 300, 7}));
  EXPECT_TRUE(table.insert({2, 1, 301, 0}));
  EXPECT_FALSE(table.insert({1, 2, 302, 8}));
  EXPECT_EQ(table.find(1, 2).rank, 7u);
  EXPECT_EQ(table.find(1, 2).result, 300);
  EXPECT_EQ(table.find(2, 1).result, 301);
  EXPECT_EQ(table.find(2, 2).rank, kNoRank);
  EXPECT_EQ(table.find(0, 0).rank, kNoRank);
}

TEST(Bpe, WithoutMergesEveryByteIsAToken) {
  const Model model(byte_vocabulary());
  EXPECT_THAT(model.encode(""), ElementsAre());
  EXPECT_THAT(model.encode("a"), ElementsAre('a'));
  EXPECT_THAT(model.encode("a\xFFz"), ElementsAre('a', 0xFF, 'z'));
}

TEST(Bpe, TheLowestRankGoesFirst) {
  Vocabulary v = byte_vocabulary();
  const TokenId bc = add_merge(v, "b", "c");
  const TokenId ab = add_merge(v, "a", "b");
  const TokenId abc = add_merge(v, "ab", "c");
  const Model model(v);
  EXPECT_THAT(model.encode("abc"), ElementsAre('a', bc));
  EXPECT_THAT(model.encode("abd"), ElementsAre(ab, 'd'));
  EXPECT_THAT(model.encode("abab"), ElementsAre(ab, ab));
  static_cast<void>(abc);
}

TEST(Bpe, EqualRanksGoFromTheLeft) {
  Vocabulary v = byte_vocabulary();
  const TokenId aa = add_merge(v, "a", "a");
  const TokenId aaa = add_token(v, "aaa");
  v.merges.push_back({aa, 'a', aaa, 1});
  v.merges.push_back({'a', aa, aaa, 1});  // as tiktoken: the rank is that of the result
  const Model model(v);
  EXPECT_THAT(model.encode("aaa"), ElementsAre(aaa));
  EXPECT_THAT(model.encode("aaaa"), ElementsAre(aa, aa));
  EXPECT_THAT(model.encode("aaaaa"), ElementsAre(aa, aaa));
}

TEST(Bpe, EqualsItsDefinitionOnRandomVocabularies) {
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 200; ++round) {
    Vocabulary v = byte_vocabulary();
    std::vector<std::string> parts{"a", "b", "c"};
    for (int i = 0; i < 24; ++i) {
      const std::string left = parts[below(parts.size())];
      const std::string right = parts[below(parts.size())];
      const bool known = [&] {
        for (const Merge& m : v.merges) {
          if (m.left == id_of(v, left) && m.right == id_of(v, right)) return true;
        }
        return left.size() + right.size() > 12;
      }();
      if (known) continue;
      add_merge(v, left, right);
      parts.push_back(left + right);
    }
    std::shuffle(v.merges.begin(), v.merges.end(), random);
    for (std::size_t i = 0; i < v.merges.size(); ++i) {
      v.merges[i].rank = static_cast<std::uint32_t>(round % 2 == 0 ? i : i / 2);
    }
    const Model model(v);
    for (int text = 0; text < 20; ++text) {
      std::string word;
      for (std::size_t n = below(40); n > 0; --n) word += "abc"[below(3)];
      ASSERT_EQ(model.encode(word), by_definition(v, word)) << word;
    }
  }
}

}  // namespace
}  // namespace tern::text
