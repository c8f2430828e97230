#include "net/client.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace tern::test {
namespace {

constexpr timeval kPatience{60, 0};

struct Address {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

Address address_of(const std::string& text) {
  Address address;
  if (text.starts_with("unix:")) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    text.copy(name.sun_path, sizeof name.sun_path - 1, 5);
    std::memcpy(&address.bytes, &name, address.size = sizeof name);
    return address;
  }
  const std::size_t colon = text.rfind(':');
  const in_port_t port = htons(static_cast<in_port_t>(std::atoi(text.c_str() + colon + 1)));
  if (text.front() == '[') {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = port;
    ::inet_pton(AF_INET6, text.substr(1, colon - 2).c_str(), &name.sin6_addr);
    std::memcpy(&address.bytes, &name, address.size = sizeof name);
    return address;
  }
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = port;
  ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &name.sin_addr);
  std::memcpy(&address.bytes, &name, address.size = sizeof name);
  return address;
}

}  // namespace

Client::Client(const std::string& text, int receive_buffer) {
  const Address address = address_of(text);
  socket_ = ::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) {
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (::connect(socket_, static_cast<const sockaddr*>(static_cast<const void*>(&address.bytes)),
                address.size) != 0) {
    ::close(std::exchange(socket_, -1));
  }
}

Client::Client(Client&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}

Client::~Client() {
  if (socket_ >= 0) ::close(socket_);
}

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void Client::half_close() { ::shutdown(socket_, SHUT_WR); }

void Client::reset() {
  const linger at_once{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(std::exchange(socket_, -1));
}

bool Client::read_some(std::string& bytes, std::size_t most) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(socket_, buffer.data(), std::min(most, buffer.size()), 0);
  timed_out_ |= got < 0 && errno == EAGAIN;
  if (got > 0) bytes.append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0;
}

std::string Client::read_some(std::size_t most) {
  std::string bytes;
  read_some(bytes, most);
  return bytes;
}

std::string Client::without_dates(std::string bytes) {
  constexpr std::string_view kName = "\r\nDate: ";
  for (std::size_t at = 0; (at = bytes.find(kName, at)) != std::string::npos;) {
    const std::size_t begin = at + kName.size();
    const std::size_t end = std::min(bytes.find("\r\n", begin), bytes.size());
    dates_.push_back(bytes.substr(begin, end - begin));
    bytes.erase(at, end - at);
  }
  return bytes;
}

std::string Client::read_until(std::string_view end) {
  std::string bytes;
  while (!bytes.ends_with(end) && read_some(bytes, 1)) {
  }
  return without_dates(std::move(bytes));
}

std::string Client::read_all() {
  std::string bytes;
  while (read_some(bytes, std::string::npos)) {
  }
  return without_dates(std::move(bytes));
}

std::string Client::read_reply() {
  std::string bytes = read_until("\r\n\r\n");
  const std::size_t at = bytes.find("Content-Length: ");
  std::size_t missing =
      at == std::string::npos ? 0 : std::strtoul(bytes.c_str() + at + 16, nullptr, 10);
  for (std::size_t before = bytes.size(); missing > 0 && read_some(bytes, missing);) {
    missing -= bytes.size() - std::exchange(before, bytes.size());
  }
  return bytes;
}

}  // namespace tern::test
