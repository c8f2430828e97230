#include "serve/api_keys.h"

#include <gtest/gtest.h>

#include <set>

#include "core/sha256.h"

namespace tern::serve {
namespace {

using std::chrono::seconds;

const Clock::time_point kBegin = Clock::now() + std::chrono::hours(1);

auto reserve(Account& account, std::uint64_t tokens, Clock::time_point now) {
  return account.reserve(tokens, tokens, now);
}

TEST(ApiKeys, AreLongAndRandom) {
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.insert(make_api_key());
  EXPECT_EQ(keys.size(), 100u);
  for (const std::string& key : keys) {
    EXPECT_EQ(key.size(), 8u + 64u);
    EXPECT_TRUE(key.starts_with("sk-tern-"));
  }
}

TEST(Budget, ComesBackEvenlyUpToAMinutesWorth) {
  Budget budget(60);
  EXPECT_DOUBLE_EQ(budget.left(kBegin), 60);
  budget.spend(60, kBegin);
  EXPECT_DOUBLE_EQ(budget.left(kBegin), 0);
  EXPECT_DOUBLE_EQ(budget.left(kBegin + seconds(10)), 10);
  EXPECT_DOUBLE_EQ(budget.left(kBegin + seconds(3600)), 60);
}

TEST(Budget, ADebtIsWaitedFor) {
  Budget budget(60);
  budget.spend(90, kBegin);
  EXPECT_DOUBLE_EQ(budget.left(kBegin), -30);
  EXPECT_DOUBLE_EQ(budget.until(1, kBegin).count(), 31);
  EXPECT_DOUBLE_EQ(budget.left(kBegin + seconds(31)), 1);
}

TEST(Budget, TimeThatGoesBackGivesNothing) {
  Budget budget(60);
  budget.spend(60, kBegin + seconds(5));
  EXPECT_DOUBLE_EQ(budget.left(kBegin), 0);
  EXPECT_DOUBLE_EQ(budget.left(kBegin + seconds(6)), 1);
}

TEST(Budget, ANewLimitNeitherForgivesNorGives) {
  Budget budget(60);
  budget.spend(50, kBegin);
  budget.set(600, kBegin);
  EXPECT_DOUBLE_EQ(budget.left(kBegin), 10);
  budget.set(5, kBegin);
  EXPECT_DOUBLE_EQ(budget.left(kBegin), 5);
}

TEST(Account, IsLetInUpToItsLimits) {
  Account account({.name = "a", .sha256 = "", .requests_per_minute = 2, .tokens_per_minute = 0});
  EXPECT_FALSE(account.admit(kBegin));
  EXPECT_FALSE(account.admit(kBegin));
  const auto refusal = account.admit(kBegin);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->retry_after, seconds(30));
  EXPECT_TRUE(account.admit(kBegin + seconds(29)));
  EXPECT_FALSE(account.admit(kBegin + seconds(30)));
  EXPECT_EQ(account.used().refused, 2u);
}

TEST(Account, WithoutLimitsSaysNothingOfThem) {
  Account account({.name = "a", .sha256 = ""});
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(account.admit(kBegin));
  EXPECT_FALSE(reserve(account, 1'000'000, kBegin));
  EXPECT_FALSE(account.admit(kBegin));
  EXPECT_TRUE(account.headers(kBegin).empty());
}

std::string value(const std::vector<net::HttpHeader>& headers, std::string_view name) {
  return std::string(net::find_header(headers, name));
}

TEST(Account, HeadersSayWhatIsLeft) {
  Account account({.name = "a", .sha256 = "", .requests_per_minute = 4, .tokens_per_minute = 60});
  EXPECT_FALSE(account.admit(kBegin));
  auto headers = account.headers(kBegin);
  EXPECT_EQ(value(headers, "x-ratelimit-limit-requests"), "4");
  EXPECT_EQ(value(headers, "x-ratelimit-remaining-requests"), "3");
  EXPECT_EQ(value(headers, "x-ratelimit-reset-requests"), "15s");
  EXPECT_EQ(value(headers, "x-ratelimit-limit-tokens"), "60");
  EXPECT_EQ(value(headers, "x-ratelimit-reset-tokens"), "0ms");
  EXPECT_FALSE(reserve(account, 100, kBegin));
  headers = account.headers(kBegin);
  EXPECT_EQ(value(headers, "x-ratelimit-remaining-tokens"), "0");
  EXPECT_EQ(value(headers, "x-ratelimit-reset-tokens"), "1m40s");
}

TEST(Account, TokensAreTakenBeforeTheyAreUsed) {
  Account account({.name = "a", .sha256 = "", .tokens_per_minute = 60});
  EXPECT_FALSE(reserve(account, 40, kBegin));
  const auto refusal = reserve(account, 30, kBegin);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->retry_after, seconds(10));
  EXPECT_NE(refusal->message.find("60 tokens a minute and has 20 of them left"), std::string::npos)
      << refusal->message;
  EXPECT_EQ(account.used().refused, 1u);
  account.give_back(10, kBegin);
  EXPECT_FALSE(reserve(account, 30, kBegin));
  EXPECT_TRUE(reserve(account, 1, kBegin));
  account.give_back(30, kBegin + seconds(30));
  EXPECT_EQ(value(account.headers(kBegin + seconds(30)), "x-ratelimit-remaining-tokens"), "60");
}

TEST(Account, WhatIsMoreThanAMinutesWorthNeedsAllOfThat) {
  Account account({.name = "a", .sha256 = "", .tokens_per_minute = 60});
  EXPECT_FALSE(reserve(account, 90, kBegin));
  EXPECT_TRUE(reserve(account, 90, kBegin + seconds(89)));
  EXPECT_FALSE(reserve(account, 90, kBegin + seconds(90)));
}

TEST(Account, OneThatNamesNoNumberTakesWhatIsLeft) {
  Account account({.name = "a", .sha256 = "", .tokens_per_minute = 60});
  EXPECT_FALSE(reserve(account, 25, kBegin));
  std::uint64_t tokens = 400;
  EXPECT_FALSE(account.reserve(tokens, 30, kBegin));
  EXPECT_EQ(tokens, 35u);
  account.overdraw(5, kBegin);
  tokens = 400;
  const auto refusal = account.reserve(tokens, 30, kBegin);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->retry_after, seconds(35));
  EXPECT_NE(refusal->message.find("may take 30 or more"), std::string::npos) << refusal->message;
  tokens = 400;
  EXPECT_FALSE(account.reserve(tokens, 30, kBegin + seconds(35)));
  EXPECT_EQ(tokens, 30u);
}

TEST(Account, WithoutTokensAPlaceGoesBack) {
  Account account({.name = "a", .sha256 = "", .requests_per_minute = 2, .tokens_per_minute = 60});
  EXPECT_FALSE(account.admit(kBegin));
  EXPECT_FALSE(reserve(account, 50, kBegin));
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(account.admit(kBegin));
    EXPECT_TRUE(reserve(account, 50, kBegin));
  }
  EXPECT_EQ(value(account.headers(kBegin), "x-ratelimit-remaining-requests"), "1");
  EXPECT_EQ(account.used().refused, 3u);
}

TEST(Account, HasSoManyAnswersAtOnce) {
  ApiKey key{.name = "alice", .answers_at_once = 4};
  Account account(key);
  EXPECT_FALSE(account.open(3));
  const auto refused = account.open(2);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->message,
            "the key alice may have 4 answers at once and has 3, but the request asks for 2: come "
            "again when some have ended");
  EXPECT_EQ(refused->retry_after, std::chrono::seconds(1));
  EXPECT_EQ(account.used().refused, 1u);
  EXPECT_FALSE(account.open(1));
  EXPECT_TRUE(account.open(1));
  account.close(4);
  EXPECT_FALSE(account.open(5));  // more than it may ever have, alone
  EXPECT_TRUE(account.open(1));
  account.close(5);
  key.answers_at_once = 1;
  account.set_limits(key);
  EXPECT_FALSE(account.open(1));
  EXPECT_TRUE(account.open(1));
  key.answers_at_once = 0;
  account.set_limits(key);
  EXPECT_FALSE(account.open(1000));
}

TEST(KeyRing, KnowsItsKeysByTheirHashes) {
  const KeyRing ring(
      {{.name = "a", .sha256 = sha256_of("one")}, {.name = "b", .sha256 = sha256_of("two")}},
      KeyRing());
  EXPECT_EQ(ring.find("one")->name(), "a");
  EXPECT_EQ(ring.find("two")->name(), "b");
  EXPECT_EQ(ring.find("three"), nullptr);
  EXPECT_EQ(ring.find(""), nullptr);
  EXPECT_EQ(ring.find(sha256_of("one")), nullptr);
}

TEST(KeyRing, AccountsGoOnUnderTheirNames) {
  const KeyRing before({{.name = "a", .sha256 = sha256_of("one")}}, KeyRing());
  before.find("one")->count_prompt(7);
  const KeyRing after({{.name = "a", .sha256 = sha256_of("new"), .requests_per_minute = 1}},
                      before);
  EXPECT_EQ(after.find("one"), nullptr);
  EXPECT_EQ(after.find("new")->used().prompt_tokens, 7u);
  EXPECT_FALSE(after.find("new")->admit());
  EXPECT_TRUE(after.find("new")->admit());
}

TEST(BearerKey, IsFoundInItsHeaderAlone) {
  const auto key = [](std::string authorization) {
    net::HttpRequest request;
    if (!authorization.empty()) request.headers = {{"Authorization", std::move(authorization)}};
    const auto found = bearer_key(request);
    return found ? std::string(*found) : std::string("-");
  };
  EXPECT_EQ(key(""), "-");
  EXPECT_EQ(key("Bearer"), "-");
  EXPECT_EQ(key("Basic abc"), "-");
  EXPECT_EQ(key("Bearerabc"), "-");
  EXPECT_EQ(key("Bearer abc"), "abc");
  EXPECT_EQ(key("bEARER   abc"), "abc");
}

}  // namespace
}  // namespace tern::serve
