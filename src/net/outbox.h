// What a connection has to send: filled by any thread, emptied by the server's.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "net/http_server.h"

namespace tern::net {

// The bytes of one reply on their way from whoever answers to the connection.
class Outbox {
 public:
  // `wake` is called by any thread when there is something new.
  Outbox(std::size_t most_unread, bool chunks, std::function<void()> wake)
      : most_unread_(most_unread), chunks_(chunks), wake_(std::move(wake)) {}

  void reply(const HttpResponse& response, bool with_body);
  void begin(const HttpResponse& head, bool with_body);
  void write(std::string_view bytes);
  void end();
  // The connection takes no more.
  void leave() { gone_.request_stop(); }
  // The connection ends with this reply.
  void close_after();

  struct Taken {
    std::string bytes;
    bool ended = false;       // these are the last
    bool overflowed = false;  // the client read too little: there is no use in going on
    bool close = false;       // the connection cannot be used again
  };
  Taken take();
  std::stop_token gone() const { return gone_.get_token(); }

 private:
  void add(std::string_view bytes);  // mutex_ held

  const std::size_t most_unread_;
  const bool chunks_;
  const std::function<void()> wake_;
  std::stop_source gone_;
  std::mutex mutex_;
  std::string bytes_;
  bool begun_ = false;
  bool with_body_ = true;
  bool ended_ = false;
  bool overflowed_ = false;
  bool close_ = false;
};

}  // namespace tern::net
