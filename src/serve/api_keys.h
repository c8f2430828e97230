// API keys: who a request comes from, and how much of the server each may use.
//
// Keys are known by their SHA-256 alone: they are long and random (make_api_key), so that a hash
// tells nothing of its key. The names of keys stand in logs and metrics, keys never do.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_message.h"

namespace tern::serve {

using Clock = std::chrono::steady_clock;

struct ApiKey {
  std::string name;
  std::string sha256;                     // 64 lower-case hexadecimal digits
  std::uint32_t requests_per_minute = 0;  // 0: as many as there are
  std::uint32_t tokens_per_minute = 0;    // of prompts and answers; 0: as many as there are
  std::uint32_t answers_at_once = 0;      // that wait or are computed; 0: as many as there are
};

// "sk-tern-" and 256 random bits.
std::string make_api_key();

// So much a minute, evenly, and at most a minute's worth at once. It may be overdrawn, by a request
// that is larger than all of it; the debt is waited for.
class Budget {
 public:
  explicit Budget(std::uint32_t per_minute = 0) { set(per_minute, Clock::now()); }

  bool is_limited() const { return per_minute_ > 0; }
  std::uint32_t per_minute() const { return per_minute_; }
  // What is left stays, as far as the new limit allows it.
  void set(std::uint32_t per_minute, Clock::time_point now);
  void spend(double amount, Clock::time_point now);
  double left(Clock::time_point now);
  // Until so much is there.
  std::chrono::duration<double> until(double amount, Clock::time_point now);

 private:
  std::uint32_t per_minute_ = 0;
  double left_ = 0.0;
  Clock::time_point at_{};
};

// What one key may use and has used. Any thread.
class Account {
 public:
  explicit Account(const ApiKey& key);

  const std::string& name() const { return name_; }
  void set_limits(const ApiKey& key);

  struct Refusal {
    std::string message;
    std::chrono::seconds retry_after;
  };
  // A request wants to be answered: its place in both limits, or why it has none.
  std::optional<Refusal> admit(Clock::time_point now = Clock::now());
  // Begins `count` answers, texts of embeddings among them, or says why there are too many. Of a
  // request for more than the key may ever have none may be open.
  std::optional<Refusal> open(std::size_t count);
  void close(std::size_t count);
  // Takes `tokens`, the most that a request may come to, before it is computed; where fewer are
  // left those, but no fewer than `least`; `tokens` is then what it took. Else says why there are
  // none, and the request's place goes back. Of more than a minute's worth all of that has to be
  // left.
  std::optional<Refusal> reserve(std::uint64_t& tokens, std::uint64_t least,
                                 Clock::time_point now = Clock::now());
  // What it came to beyond those.
  void overdraw(std::uint64_t tokens, Clock::time_point now = Clock::now());
  // A place of one that was let in, of which nothing was computed.
  void give_back_place(Clock::time_point now = Clock::now());
  // What it did not come to.
  void give_back(std::uint64_t tokens, Clock::time_point now = Clock::now());
  // One that kept its place, at its end.
  void count_request();
  void count_prompt(std::uint64_t tokens);
  void count_generated(std::uint64_t tokens);

  // x-ratelimit-*, as OpenAI names them, of the limits that there are.
  std::vector<net::HttpHeader> headers(Clock::time_point now = Clock::now());

  struct Used {
    std::uint64_t requests = 0;
    std::uint64_t refused = 0;
    std::uint64_t prompt_tokens = 0;
    std::uint64_t generated_tokens = 0;
  };
  Used used() const;

 private:
  const std::string name_;
  mutable std::mutex mutex_;
  Budget requests_;
  Budget tokens_;
  std::uint32_t most_open_ = 0;
  std::size_t open_ = 0;
  Used used_;
};

// The keys that are known. Immutable; its accounts are not.
class KeyRing {
 public:
  KeyRing() = default;  // no keys: everybody may ask
  // Keys of one name share its account. Accounts of names that `before` knows go on.
  KeyRing(const std::vector<ApiKey>& keys, const KeyRing& before);

  bool empty() const { return entries_.empty(); }
  // The account of the key, in a time that does not depend on which one it is like.
  std::shared_ptr<Account> find(std::string_view key) const;
  std::vector<std::shared_ptr<Account>> accounts() const;

 private:
  std::shared_ptr<Account> account_of(std::string_view name) const;
  struct Entry {
    std::string sha256;
    std::shared_ptr<Account> account;
  };
  std::vector<Entry> entries_;
};

// The key of "Authorization: Bearer KEY"; nothing where there is no such header.
std::optional<std::string_view> bearer_key(const net::HttpRequest& request);

}  // namespace tern::serve
