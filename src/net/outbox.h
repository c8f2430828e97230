// What a connection has to send: filled by any thread, emptied by the server's.
#pragma once

#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "net/http_message.h"
#include "net/memory_share.h"

namespace tern::net {

// The bytes of one reply on their way from whoever answers to the connection.
class Outbox {
 public:
  struct Shape {
    std::size_t most_unread;
    bool chunks;     // the client knows them
    bool with_body;  // the request is not HEAD
  };
  // Called by any thread when there is something new, or too much; it must not call back.
  using Wake = std::function<void(bool overflowed)>;
  Outbox(const Shape& shape, MemoryShare share, Wake wake)
      : shape_(shape), share_(std::move(share)), wake_(std::move(wake)) {}

  // What Exchange has.
  Room reserve(std::size_t bytes);
  void reply(const HttpResponse& response);
  void begin(const HttpResponse& head);
  void write(std::string_view bytes);
  void end();
  // Nobody will end it: a reply that has begun is cut, visibly to the client.
  void drop() noexcept;
  std::stop_token gone() const { return gone_.get_token(); }

  // The connection's side. It ends with this reply:
  void close_after();
  // The client is gone or will send no more.
  void client_left() { gone_.request_stop(); }
  // Nothing was sent for a while: what the head said is sent then, if it did.
  void fill_pause();
  // Nothing is sent any more; `wake` is not called again once this has returned.
  void disconnect();

  struct Taken {
    std::string bytes;
    bool ended = false;       // these are the last
    bool overflowed = false;  // the client read too little: there is no use in going on
    bool close = false;       // the connection cannot be used again
  };
  Taken take();

 private:
  void add(std::string_view bytes);  // mutex_ held
  void wake();                       // mutex_ held

  const Shape shape_;
  std::stop_source gone_;
  std::mutex mutex_;
  MemoryShare share_;  // of a long reply
  Wake wake_;
  std::string bytes_;
  std::string pause_;  // as the head had it
  bool begun_ = false;
  bool bodyless_ = false;
  bool ended_ = false;
  bool overflowed_ = false;
  bool close_ = false;
};

}  // namespace tern::net
