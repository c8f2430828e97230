#include "cli/signals.h"

#include <pthread.h>

#include <algorithm>
#include <csignal>

namespace tern::cli {
namespace {

constexpr int kAll[] = {SIGTERM, SIGINT, SIGHUP};
constexpr auto kLook = std::chrono::milliseconds(20);

sigset_t all() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kAll) sigaddset(&set, signal);
  return set;
}

std::optional<int> next(std::chrono::nanoseconds most) {
  const sigset_t set = all();
  most = std::max(most, std::chrono::nanoseconds(0));
  timespec time{};
  time.tv_sec = static_cast<time_t>(most.count() / 1'000'000'000);
  time.tv_nsec = static_cast<long>(most.count() % 1'000'000'000);
  const int signal = sigtimedwait(&set, nullptr, &time);
  return signal > 0 ? std::optional(signal) : std::nullopt;
}

}  // namespace

Signals::Signals() {
  const sigset_t set = all();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  early_ = std::thread([this] { end_early(); });
}

// They stay blocked: what comes while a program ends must not end it otherwise.
Signals::~Signals() { take_over(); }

void Signals::end_early() {
  while (!taken_over_) {
    const auto signal = next(kLook);
    if (signal == SIGHUP) hung_up_ = true;
    if (!signal || *signal == SIGHUP) continue;
    const sigset_t set = all();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    std::raise(*signal);
  }
}

void Signals::take_over() {
  taken_over_ = true;
  if (early_.joinable()) early_.join();
}

std::optional<int> Signals::wait(std::chrono::steady_clock::time_point until) {
  if (hung_up_.exchange(false)) return SIGHUP;
  for (;;) {
    if (const auto signal = next(until - std::chrono::steady_clock::now())) return signal;
    if (std::chrono::steady_clock::now() >= until) return std::nullopt;
  }
}

}  // namespace tern::cli
