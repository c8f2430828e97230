#include "serve/api_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/random_hex.h"
#include "core/sha256.h"

namespace tern::serve {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr std::chrono::seconds kLongest{86'400};

// "6m0s", "1.2s", "60ms": as OpenAI writes how long it takes.
std::string text_of(Seconds time) {
  const double seconds = std::max(time.count(), 0.0);
  if (seconds < 1) return fmt::format("{}ms", static_cast<int>(std::ceil(seconds * 1000)));
  const auto whole = static_cast<long>(std::ceil(seconds));
  if (whole < 60) return fmt::format("{}s", whole);
  return fmt::format("{}m{}s", whole / 60, whole % 60);
}

void add_headers(std::vector<net::HttpHeader>& headers, Budget& budget, const char* what,
                 Clock::time_point now) {
  if (!budget.is_limited()) return;
  const double all = budget.per_minute();
  const auto left = static_cast<std::uint64_t>(std::max(budget.left(now), 0.0));
  const std::string prefix = "x-ratelimit-";
  headers.push_back({prefix + "limit-" + what, std::to_string(budget.per_minute())});
  headers.push_back({prefix + "remaining-" + what, std::to_string(left)});
  headers.push_back({prefix + "reset-" + what, text_of(budget.until(all, now))});
}

std::chrono::seconds whole(Seconds time) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(time);
  return std::clamp(seconds, std::chrono::seconds(1), kLongest);
}

}  // namespace

std::string make_api_key() { return "sk-tern-" + random_hex(32); }

void Budget::set(std::uint32_t per_minute, Clock::time_point now) {
  left_ = is_limited() ? std::min<double>(left(now), per_minute) : per_minute;
  per_minute_ = per_minute;
  at_ = now;
}

double Budget::left(Clock::time_point now) {
  const Seconds passed = std::max(now, at_) - at_;
  at_ += std::chrono::duration_cast<Clock::duration>(passed);
  left_ = std::min<double>(left_ + passed.count() * per_minute_ / 60, per_minute_);
  return left_;
}

void Budget::spend(double amount, Clock::time_point now) { left_ = left(now) - amount; }

Seconds Budget::until(double amount, Clock::time_point now) {
  return Seconds((amount - left(now)) * 60 / per_minute_);
}

Account::Account(const ApiKey& key)
    : name_(key.name),
      requests_(key.requests_per_minute),
      tokens_(key.tokens_per_minute),
      most_open_(key.answers_at_once) {}

void Account::set_limits(const ApiKey& key) {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  requests_.set(key.requests_per_minute, now);
  tokens_.set(key.tokens_per_minute, now);
  most_open_ = key.answers_at_once;
}

std::optional<Account::Refusal> Account::admit(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  const auto refuse = [&](Budget& budget, const char* what) {
    ++used_.refused;
    const auto seconds = whole(budget.until(1, now));
    return Refusal{fmt::format("the key {} may use {} {} a minute and has used them: come again in "
                               "{} s",
                               name_, budget.per_minute(), what, seconds.count()),
                   seconds};
  };
  if (requests_.is_limited() && requests_.left(now) < 1) return refuse(requests_, "requests");
  if (tokens_.is_limited() && tokens_.left(now) < 1) return refuse(tokens_, "tokens");
  requests_.spend(1, now);
  return std::nullopt;
}

std::optional<Account::Refusal> Account::open(std::size_t count) {
  const std::lock_guard lock(mutex_);
  if (most_open_ > 0 && open_ > 0 && open_ + count > most_open_) {
    ++used_.refused;
    return Refusal{fmt::format("the key {} may have {} answers at once and has {}, but the request "
                               "asks for {}: come again when some have ended",
                               name_, most_open_, open_, count),
                   std::chrono::seconds(1)};
  }
  open_ += count;
  return std::nullopt;
}

void Account::close(std::size_t count) {
  const std::lock_guard lock(mutex_);
  open_ -= count;
}

std::optional<Account::Refusal> Account::reserve(std::uint64_t& tokens, std::uint64_t least,
                                                 Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (!tokens_.is_limited()) return std::nullopt;
  const double needed = std::min<double>(static_cast<double>(least), tokens_.per_minute());
  const double left = tokens_.left(now);
  if (left < needed) {
    ++used_.refused;
    requests_.spend(-1, now);
    const auto seconds = whole(tokens_.until(needed, now));
    return Refusal{fmt::format("the key {} may use {} tokens a minute and has {} of them left, but "
                               "the request may take {}{}, prompt and answer together: come again "
                               "in {} s, or ask for fewer (max_tokens)",
                               name_, tokens_.per_minute(), std::floor(std::max(left, 0.0)), least,
                               least < tokens ? " or more" : "", seconds.count()),
                   seconds};
  }
  tokens = std::clamp(static_cast<std::uint64_t>(std::max(left, 0.0)), least, tokens);
  tokens_.spend(static_cast<double>(tokens), now);
  return std::nullopt;
}

void Account::overdraw(std::uint64_t tokens, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  tokens_.spend(static_cast<double>(tokens), now);
}

void Account::give_back_place(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  requests_.spend(-1, now);
}

void Account::give_back(std::uint64_t tokens, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  tokens_.spend(-static_cast<double>(tokens), now);
}

void Account::count_request() {
  const std::lock_guard lock(mutex_);
  ++used_.requests;
}

void Account::count_prompt(std::uint64_t tokens) {
  const std::lock_guard lock(mutex_);
  used_.prompt_tokens += tokens;
}

void Account::count_generated(std::uint64_t tokens) {
  const std::lock_guard lock(mutex_);
  used_.generated_tokens += tokens;
}

std::vector<net::HttpHeader> Account::headers(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  std::vector<net::HttpHeader> headers;
  add_headers(headers, requests_, "requests", now);
  add_headers(headers, tokens_, "tokens", now);
  return headers;
}

Account::Used Account::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

KeyRing::KeyRing(const std::vector<ApiKey>& keys, const KeyRing& before) {
  for (const ApiKey& key : keys) {
    auto account = account_of(key.name);
    if (!account) account = before.account_of(key.name);
    if (!account) account = std::make_shared<Account>(key);
    account->set_limits(key);
    entries_.push_back({key.sha256, std::move(account)});
  }
}

std::shared_ptr<Account> KeyRing::account_of(std::string_view name) const {
  const auto same = std::find_if(entries_.begin(), entries_.end(),
                                 [&](const Entry& entry) { return entry.account->name() == name; });
  return same == entries_.end() ? nullptr : same->account;
}

std::shared_ptr<Account> KeyRing::find(std::string_view key) const {
  const std::string hash = sha256_of(key);
  std::shared_ptr<Account> found;
  for (const Entry& entry : entries_) {  // all of them, whichever it is
    if (equal_in_constant_time(hash, entry.sha256)) found = entry.account;
  }
  return found;
}

std::vector<std::shared_ptr<Account>> KeyRing::accounts() const {
  std::vector<std::shared_ptr<Account>> accounts;
  for (const Entry& entry : entries_) {
    const bool is_there =
        std::find(accounts.begin(), accounts.end(), entry.account) != accounts.end();
    if (!is_there) accounts.push_back(entry.account);
  }
  return accounts;
}

std::optional<std::string_view> bearer_key(const net::HttpRequest& request) {
  constexpr std::string_view kScheme = "bearer ";
  std::string_view header = request.header("authorization");
  const bool is_bearer =
      header.size() > kScheme.size() &&
      std::equal(kScheme.begin(), kScheme.end(), header.begin(), [](char wanted, char found) {
        return wanted == (found >= 'A' && found <= 'Z' ? static_cast<char>(found + 32) : found);
      });
  if (!is_bearer) return std::nullopt;
  header.remove_prefix(kScheme.size());
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

}  // namespace tern::serve
