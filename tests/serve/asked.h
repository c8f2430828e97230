// A client without a connection: what it asks, and what it is told.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "net/http_server.h"

namespace tern::serve {

class Asked final : public net::Exchange {
 public:
  // `last_id`: of the last event of the same request that was seen.
  Asked(std::string path, std::string body, const std::string& last_id = "") {
    request_.method = "POST";
    request_.path = std::move(path);
    request_.body = std::move(body);
    if (!last_id.empty()) request_.headers.push_back({"Last-Event-ID", last_id});
  }

  const net::HttpRequest& request() const override { return request_; }
  std::string take_body(bool keeps_share) override {
    if (on_body) on_body();
    kept_share = keeps_share;
    return std::move(request_.body);
  }
  net::Room reserve(std::size_t bytes) override {
    if (on_room) on_room();
    const std::lock_guard lock(mutex_);
    rooms_.push_back(bytes);
    if (bytes > most_room) return net::Room::kNever;
    return bytes > room ? net::Room::kNotNow : net::Room::kYes;
  }
  void reply(net::HttpResponse response) override {
    const std::lock_guard lock(mutex_);
    response_ = std::move(response);
    changed_.notify_all();
  }
  void begin(net::HttpResponse head) override { reply(std::move(head)); }
  void write(std::string bytes) override {
    if (on_write) on_write();
    const std::lock_guard lock(mutex_);
    written_ += bytes;
  }
  void end() override {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  std::stop_token gone() const override { return leaves.get_token(); }

  // 0: not yet.
  unsigned status() {
    const std::lock_guard lock(mutex_);
    return response_.status;
  }
  // For which room was asked, in turn.
  std::vector<std::size_t> rooms() {
    const std::lock_guard lock(mutex_);
    return rooms_;
  }
  // All parts of a reply that comes in such.
  std::string wait_for_end() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::minutes(2), [&] { return ended_; });
    return written_;
  }
  net::HttpResponse wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::minutes(2), [&] { return response_.status != 0; });
    return response_;
  }

  std::function<void()> on_write;  // before each part, by whose it is
  std::function<void()> on_body;   // called by who takes it
  std::function<void()> on_room;   // called by who asks for room
  std::stop_source leaves;
  std::size_t room = SIZE_MAX;       // for a reply, now
  std::size_t most_room = SIZE_MAX;  // and ever
  bool kept_share = false;           // of all bodies, by who took it

 private:
  net::HttpRequest request_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::size_t> rooms_;
  std::string written_;
  bool ended_ = false;
  net::HttpResponse response_{0, "", "", {}};
};

}  // namespace tern::serve
