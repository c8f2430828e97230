// Bytes of a connection to requests, without a socket: HTTP/1.1 as RFC 9112 has it, strictly.
//
// What two readers of the same bytes could take for different requests is refused: a length and
// chunks together, two lengths, folded or broken header lines, white space in names.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http_message.h"

namespace tern::net {

struct HttpLimits {
  std::size_t head_bytes = 16u << 10;
  std::size_t headers = 100;
  std::size_t body_bytes = 8u << 20;
};

class RequestReader {
 public:
  explicit RequestReader(const HttpLimits& limits);
  ~RequestReader();

  enum class State {
    kHead,   // waits for a request or the rest of its head
    kBody,   // the head is there, the body is not
    kDone,   // take() the request
    kError,  // see error(); the connection is of no more use
  };
  State state() const { return state_; }
  const HttpError& error() const { return error_; }

  // Takes the next bytes of the connection. In kDone they are kept for the request after.
  State feed(std::string_view bytes);
  // Whether something of a request is there.
  bool has_begun() const { return state_ != State::kHead || !pending_.empty(); }
  // In kBody: the client waits for leave to send it ("Expect: 100-continue").
  bool expects_continue() const { return expects_continue_; }

  // The request; what came behind it is looked at as the next one.
  HttpRequest take();

 private:
  struct Parser;

  void advance();
  void read_head();
  void read_body();
  std::optional<HttpError> check_head() const;
  void fail(HttpError error);

  HttpLimits limits_;
  State state_ = State::kHead;
  HttpError error_{};
  std::string pending_;  // bytes that are not parsed
  std::unique_ptr<Parser> parser_;
  bool expects_continue_ = false;
};

}  // namespace tern::net
