#include "cli/interrupt.h"

#include <csignal>
#include <utility>

namespace tern::cli {
namespace {

sigset_t only_sigint() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  return set;
}

bool is_ignored() {
  struct sigaction now {};
  return sigaction(SIGINT, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

SigintWatch::SigintWatch(std::function<void()> on_sigint) : on_sigint_(std::move(on_sigint)) {
  if (is_ignored()) return;
  const sigset_t set = only_sigint();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] { wait_for_signals(); });
}

SigintWatch::~SigintWatch() {
  if (!thread_.joinable()) return;
  finished_ = true;
  pthread_kill(thread_.native_handle(), SIGINT);
  thread_.join();
  const sigset_t set = only_sigint();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void SigintWatch::wait_for_signals() {
  const sigset_t set = only_sigint();
  int signal = 0;
  while (sigwait(&set, &signal) == 0 && !finished_) on_sigint_();
}

void die_of_sigint() {
  const sigset_t set = only_sigint();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  std::raise(SIGINT);
}

Interrupt::Interrupt(std::stop_source stop)
    : stop_(std::move(stop)), watch_([this] {
        if (happened_.exchange(true)) die_of_sigint();  // asked before and still here
        stop_.request_stop();
      }) {}

}  // namespace tern::cli
