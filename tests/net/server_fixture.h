// A server of a test's own.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/client.h"
#include "net/http_server.h"

namespace tern::test {

inline std::chrono::steady_clock::time_point in_a_minute() {
  return std::chrono::steady_clock::now() + std::chrono::minutes(1);
}

// Waits for what another thread does; false where it does not come.
inline bool eventually(const std::function<bool()>& holds) {
  for (const auto until = in_a_minute(); std::chrono::steady_clock::now() < until;) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

inline std::string get(const std::string& path, const std::string& headers = "") {
  return std::string("GET ").append(path).append(" HTTP/1.1\r\nHost: h\r\n").append(headers) +
         "\r\n";
}

// A whole reply as the server sends it.
inline std::string reply_of(const std::string& body, const std::string& headers = "") {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}

inline net::HttpResponse text(const std::string& body) { return {200, "text/plain", body}; }

// Says what was asked for.
inline void echo(const std::shared_ptr<net::Exchange>& exchange) {
  const net::HttpRequest& r = exchange->request();
  exchange->reply(text(r.method + " " + r.path + " " + r.body));
}

// Exchanges that a handler put aside.
class Shelf {
 public:
  net::HttpServer::Handler handler() {
    return [this](std::shared_ptr<net::Exchange> exchange) {
      const std::lock_guard lock(mutex_);
      exchanges_.push_back(std::move(exchange));
    };
  }
  // The next one; it comes within a minute, or the test ends here.
  std::shared_ptr<net::Exchange> take() {
    std::shared_ptr<net::Exchange> taken;
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex_);
      if (exchanges_.empty()) return false;
      taken = std::move(exchanges_.front());
      exchanges_.erase(exchanges_.begin());
      return true;
    }));
    return taken;
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<net::Exchange>> exchanges_;
};

class HttpServerTest : public testing::Test {
 protected:
  void start(net::HttpServer::Handler handler, net::HttpServerOptions options = {}) {
    if (options.listen.empty()) options.listen = {"127.0.0.1:0"};
    options.counts = counts_;
    auto started = net::HttpServer::start(options, std::move(handler));
    ASSERT_TRUE(started) << started.error().to_string();
    server_ = std::move(*started);
  }
  std::string address() const { return server_->addresses().at(0); }
  Client connect(int receive_buffer = 0) const { return Client(address(), receive_buffer); }

  Shelf shelf_;
  const std::shared_ptr<net::ConnectionCounts> counts_ = std::make_shared<net::ConnectionCounts>();
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace tern::test
