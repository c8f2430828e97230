// What systemd is told of a service, by datagrams (sd_notify(3)): it is ready, reads its settings
// again, ends, and lives.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace tern::cli {

class ServiceManager {
 public:
  // By $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID; without the first nobody is told.
  ServiceManager();

  void ready() const { tell("READY=1"); }
  void reloading() const;
  void stopping() const { tell("STOPPING=1"); }
  void lives() const { tell("WATCHDOG=1"); }

  // How often to say that it lives, twice in the time after which it would be taken for dead;
  // nothing where nobody waits for that.
  std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }

 private:
  void tell(std::string_view what) const;

  std::string socket_;
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace tern::cli
