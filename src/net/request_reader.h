// Bytes of a connection to requests, without a socket: HTTP/1.1 as RFC 9112 has it, strictly.
//
// What two readers of the same bytes could take for different requests is refused: a length and
// chunks together, two lengths, folded or broken header lines, white space in names. Each byte is
// looked at in its turn, so that how they are cut into pieces changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http_message.h"

namespace tern::net {

struct HttpLimits {
  std::size_t head_bytes = 16u << 10;  // of chunk extensions and trailers, too; at most 60,000
  std::size_t headers = 100;
  std::size_t body_bytes = 8u << 20;
};

class RequestReader {
 public:
  explicit RequestReader(const HttpLimits& limits);

  enum class State {
    kHead,   // waits for a request or the rest of its head
    kBody,   // the head is there, the body is not
    kDone,   // take() the request
    kError,  // see error(); the connection is of no more use
  };
  State state() const { return state_; }
  const HttpError& error() const { return error_; }
  // The request at hand, of which nothing is there before its head is.
  const HttpRequest& request() const { return request_; }

  // Takes the next bytes of the connection. In kDone they are kept for the request after.
  State feed(std::string_view bytes);
  // Whether something of a request is there; empty lines before it are nothing.
  bool has_begun() const { return state_ != State::kHead || next_ > head_begin_; }
  // In kBody: the client waits for leave to send it ("Expect: 100-continue").
  bool expects_continue() const { return state_ == State::kBody && expects_continue_; }
  // How much it holds.
  std::size_t kept_bytes() const { return pending_.size() + request_.body.size(); }

  // The request; what came behind it is looked at as the next one.
  HttpRequest take();

 private:
  enum class Part { kBytes, kChunkSize, kChunkBytes, kChunkEnd, kTrailers };

  void advance();
  void read_head();
  bool read_body_part();
  void read_chunk_size(std::string_view line);
  void read_trailer(std::string_view line);
  void begin_body(std::string_view head);
  std::optional<std::string_view> next_line();
  void fail(unsigned status, std::string message);

  HttpLimits limits_;
  State state_ = State::kHead;
  HttpError error_{};
  std::string pending_;         // bytes that are still needed
  std::size_t next_ = 0;        // the first of them that was not looked at
  std::size_t line_begin_ = 0;  // of the line that next_ is in
  std::size_t head_begin_ = 0;
  std::size_t lines_ = 0;          // of the head
  std::size_t counted_bytes_ = 0;  // against limits_.head_bytes
  HttpRequest request_;
  Part part_ = Part::kBytes;
  std::uint64_t missing_ = 0;  // bytes of the body or of the chunk
  bool expects_continue_ = false;
};

}  // namespace tern::net
