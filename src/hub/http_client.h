// GET over HTTP and HTTPS: one request, one reply, whose body goes to a function as it comes. TLS,
// proxies and connections that are kept are libcurl's; redirects and tries are the caller's, who
// knows which host may see a token.
//
// Any number of threads may call get() at once.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace tern::hub {

struct HttpOptions {
  std::string http_proxy;   // of http:// addresses; empty: none
  std::string https_proxy;  // of https://
  std::string no_proxy;     // hosts without one, as curl reads them
  std::string ca_file;      // certificates to trust instead of the system's
  std::chrono::milliseconds connect_timeout{15'000};
  std::chrono::milliseconds stall{30'000};  // without a byte
};

// From `begin` up to, without, `end`.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct HttpRequest {
  std::string url;
  std::string token;  // a bearer's; empty: none
  std::optional<ByteRange> range;
};

struct HttpHead {
  int status = 0;  // 0: no reply came
  std::vector<std::pair<std::string, std::string>> headers;

  // The first one of that name, in any case. No value: none.
  std::optional<std::string_view> find(std::string_view name) const;
};

// How a request ended.
struct HttpOutcome {
  HttpHead head;
  std::optional<Error> failed;  // of the transfer, or of the caller's functions
  bool may_retry = false;       // the transfer failed in a way that another try may not
};

class HttpClient {
 public:
  // Called once, when the head is there. False: the body is not wanted.
  using OnHead = std::function<Result<bool>(const HttpHead& head)>;
  // False: no more is wanted.
  using OnBody = std::function<Result<bool>(std::span<const std::byte> bytes)>;

  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Errors, of the transfer: kIo. They name the address without what stands behind its path, which
  // may be a signature.
  HttpOutcome get(const HttpRequest& request, const OnHead& on_head, const OnBody& on_body,
                  const std::stop_token& stop);

 private:
  class Connection;
  std::unique_ptr<Connection> take();
  void put_back(std::unique_ptr<Connection> connection);

  struct State;
  HttpOptions options_;
  std::unique_ptr<State> state_;
};

}  // namespace tern::hub
