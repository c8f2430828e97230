// A client of blocking sockets that sends any bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tern::test {

class Client {
 public:
  // "127.0.0.1:80", "[::1]:80" or "unix:/path"; see connected(). A small `receive_buffer` lets a
  // server notice soon that the client does not read.
  explicit Client(const std::string& address, int receive_buffer = 0);
  Client(Client&& other) noexcept;
  ~Client();
  bool connected() const { return socket_ >= 0; }

  // False where the other side is gone.
  bool send(std::string_view bytes);
  // "I send no more."
  void half_close();
  // At once, without a farewell: a reset.
  void reset();

  // What is read of replies has their dates no more, so that they can be compared: these.
  const std::vector<std::string>& dates() const { return dates_; }
  // What comes until `end` has come; less where the connection ends or nothing comes for a while.
  std::string read_until(std::string_view end);
  // What comes until the connection ends; see timed_out().
  std::string read_all();
  bool timed_out() const { return timed_out_; }
  // What comes next, at most so much and 64 KiB.
  std::string read_some(std::size_t most);
  // A head and a body of Content-Length.
  std::string read_reply();

 private:
  bool read_some(std::string& bytes, std::size_t most);
  std::string without_dates(std::string bytes);

  int socket_ = -1;
  bool timed_out_ = false;
  std::vector<std::string> dates_;
};

}  // namespace tern::test
