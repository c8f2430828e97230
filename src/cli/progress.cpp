#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/streams.h"

namespace tern::cli {
namespace {

constexpr std::chrono::milliseconds kDelay{200};
constexpr std::chrono::milliseconds kPeriod{100};
constexpr std::uint64_t kWidth = 24;

}  // namespace

Progress::Progress() : enabled_(stderr_is_terminal()), next_(Clock::now() + kDelay) {}

void Progress::show(std::string_view step, std::uint64_t done, std::uint64_t total) {
  if (!enabled_ || total == 0 || Clock::now() < next_) return;
  next_ = Clock::now() + kPeriod;
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<std::uint64_t>(share * kWidth);
  write_stderr(fmt::format("\r\x1b[K{} [{:#<{}}{:.<{}}] {:3.0f}%", step, "", filled, "",
                           kWidth - filled, 100.0 * share));
  visible_ = true;
}

void Progress::clear() {
  if (visible_) write_stderr("\r\x1b[K");
  visible_ = false;
}

std::string rate_text(std::uint64_t done, std::uint64_t left, double seconds) {
  const double rate = static_cast<double>(done) / std::max(seconds, 1e-3);
  return fmt::format("{:.0f} MB/s, {:.0f} s left", rate / 1e6,
                     static_cast<double>(left) / std::max(rate, 1.0));
}

}  // namespace tern::cli
