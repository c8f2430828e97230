#include "cli/bus_error.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string_view>

namespace tern::cli {
namespace {

constexpr std::string_view kWhy =
    "tern: the model file was changed or cut while it was in use, or its disk cannot read it any "
    "more; replace a model by renaming a new file over it (mv), never by writing into it\n";

std::atomic_flag told;  // several threads may read what is gone, and the first has to finish

// Calls what is safe in a handler, and nothing else. The signal is blocked until it returns; then
// it ends the process.
void say_why(int signal) {
  while (told.test_and_set()) ::pause();
  if (::write(STDERR_FILENO, kWhy.data(), kWhy.size()) < 0) {
    // There is nobody to tell.
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void explain_bus_errors() {
  struct sigaction action {};
  action.sa_handler = say_why;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace tern::cli
