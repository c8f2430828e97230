// A hub of our own for a test: tests/hub/hub_server.py as a process, and a cache in a directory
// that goes with the test.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "hub/hub.h"
#include "support/temporary_directory.h"

namespace tern::hub {

// Serves until it is destroyed. One for all tests of a program: they ask for faults by other names.
class HubServer {
 public:
  HubServer() {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe(in.data()) != 0 || ::pipe(out.data()) != 0) throw std::runtime_error("no pipes");
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      ::execlp(TERN_PYTHON, TERN_PYTHON, "-B", TERN_SOURCE_DIR "/tests/hub/hub_server.py",
               static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    keep_alive_ = in[1];
    FILE* ports = ::fdopen(out[0], "r");
    if (std::fscanf(ports, "%d %d %d", &port_, &cdn_port_, &tls_port_) != 3) {
      throw std::runtime_error("no hub");
    }
    std::fclose(ports);
  }
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;
  ~HubServer() {
    ::close(keep_alive_);
    ::waitpid(process_, nullptr, 0);
  }

  std::string endpoint(const std::string& fault) const { return proxy() + "/" + fault; }
  // By CONNECT, to hosts of any name.
  std::string proxy() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // By a name that only the proxy can reach.
  std::string tls_endpoint(const std::string& fault) const {
    return "https://hub.example:" + std::to_string(tls_port_) + "/" + fault;
  }

 private:
  pid_t process_ = 0;
  int keep_alive_ = -1;
  int port_ = 0;
  int cdn_port_ = 0;
  int tls_port_ = 0;
};

inline HubServer& hub_server() {
  static HubServer server;
  return server;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// One client of the server, with short delays and small chunks.
struct TestHub {
  explicit TestHub(const std::string& fault) {
    options.cache = directory / "hub";
    options.chunk_bytes = 64 << 10;
    options.server.endpoint = hub_server().endpoint(fault);
    options.server.token = "hf_verysecret";
    options.server.retry = {.tries = 5,
                            .first_delay = std::chrono::milliseconds(1),
                            .most_delay = std::chrono::milliseconds(4),
                            .most_wait = std::chrono::seconds(5)};
    options.server.http.stall = std::chrono::milliseconds(1000);
    options.server.notice = [this](const std::string& text) { notices.push_back(text); };
  }

  // All files of org/repo, or those of another reference.
  Result<Pulled> pull(const std::string& text = "hf://org/repo") {
    TERN_ASSIGN(const auto hub, Hub::create(options));
    TERN_ASSIGN(const ModelRef ref, parse_model_ref(text));
    TERN_ASSIGN(const RemoteRevision revision, hub->look_up(ref));
    TERN_ASSIGN(const auto wanted, select(revision, {}));
    return hub->pull(revision, wanted, progress);
  }

  std::filesystem::path repo() const { return options.cache / "models--org--repo"; }
  // What blobs are there, finished or not.
  std::vector<std::string> blobs() const {
    std::vector<std::string> names;
    if (!std::filesystem::exists(repo() / "blobs")) return names;
    for (const auto& entry : std::filesystem::directory_iterator(repo() / "blobs")) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  test::TemporaryDirectory directory;
  HubOptions options;
  std::function<void(const PullProgress&)> progress;
  std::vector<std::string> notices;
};

}  // namespace tern::hub
