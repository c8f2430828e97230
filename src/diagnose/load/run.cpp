#include "diagnose/load/run.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <set>
#include <utility>

#include "diagnose/load/exchange.h"

namespace tern::diagnose {

namespace asio = boost::asio;
using asio::awaitable;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kFirstLook{30};
// Of a client whose request failed, before its next: a server that is gone, or that refuses at
// once, would be asked as fast as this machine can.
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{1000};

// A request on its way, which a timer or Ctrl-C may end.
struct Running {
  explicit Running(asio::io_context& io) : call(io), timer(io) {}
  net::HttpCall call;
  asio::steady_timer timer;
  bool timed_out = false;
};

class Runner {
 public:
  explicit Runner(const LoadOptions& options) : options_(options), arrivals_(io_) {}

  Result<LoadOutcome> run() {
    const std::stop_callback on_stop(options_.stop,
                                     [this] { asio::post(io_, [this] { abort(); }); });
    const Result<void> looked = look();
    outcome_.interrupted = aborted_;
    if (aborted_) return std::move(outcome_);
    TERN_TRY(looked);
    looking_ = false;
    outcome_.model = server_.model;
    outcome_.unit = server_.tokens.empty() ? "words" : "tokens";
    begin_ = Clock::now();
    if (options_.rate) {
      asio::co_spawn(io_, open_loop(), asio::detached);
    } else {
      for (std::uint32_t i = 0; i < options_.clients; ++i) {
        asio::co_spawn(io_, closed_loop(), asio::detached);
      }
    }
    io_.restart();
    io_.run();
    outcome_.interrupted = aborted_;
    return std::move(outcome_);
  }

 private:
  Result<void> look();
  awaitable<void> look_into(Result<LoadServer>& found);
  awaitable<void> open_loop();
  awaitable<void> closed_loop();
  awaitable<bool> request(std::uint64_t index, double intended);
  void finish(RequestOutcome outcome);
  void abort();

  double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  // Whether request `index` is one of the load, which is to be sent at that time.
  bool wanted(std::uint64_t index, double at) const {
    return !aborted_ && (!options_.requests || index < *options_.requests) &&
           (!options_.seconds || at < *options_.seconds);
  }

  const LoadOptions& options_;
  asio::io_context io_{1};
  asio::steady_timer arrivals_;
  LoadServer server_;
  Clock::time_point begin_;
  std::uint64_t next_ = 0;
  std::set<std::shared_ptr<Running>> running_;
  LoadOutcome outcome_;
  bool looking_ = true;
  bool aborted_ = false;
};

awaitable<void> Runner::look_into(Result<LoadServer>& found) {
  found = co_await look_at(io_, options_);
  io_.stop();
}

Result<void> Runner::look() {
  Result<LoadServer> found =
      Error{ErrorCode::kIo, "the server did not answer in time", options_.target.url};
  asio::co_spawn(io_, look_into(found), asio::detached);
  io_.run_for(kFirstLook);
  TERN_ASSIGN(server_, std::move(found));
  return {};
}

awaitable<void> Runner::open_loop() {
  const LoadPlan plan(options_.plan);
  double at = 0.0;
  for (std::uint64_t index = 0;; ++index) {
    at += plan.gap(index, *options_.rate);
    if (!wanted(index, at)) co_return;
    arrivals_.expires_at(
        begin_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at)));
    co_await arrivals_.async_wait(kTuple);
    if (aborted_) co_return;
    asio::co_spawn(io_, request(index, at), [](const std::exception_ptr&, bool) {});
  }
}

awaitable<void> Runner::closed_loop() {
  asio::steady_timer pause(io_);
  auto next_pause = kFirstPause;
  for (;;) {
    const double at = now();
    if (!wanted(next_, at)) co_return;
    const bool answered = co_await request(next_++, at);
    if (answered) next_pause = kFirstPause;
    if (answered || !wanted(next_, now())) continue;
    pause.expires_after(next_pause);
    co_await pause.async_wait(kTuple);
    next_pause = std::min(2 * next_pause, kLongestPause);
  }
}

// Whether the answer came whole.
awaitable<bool> Runner::request(std::uint64_t index, double intended) {
  const auto running = std::make_shared<Running>(io_);
  running_.insert(running);
  running->timer.expires_after(options_.timeout);
  running->timer.async_wait([running](const boost::system::error_code& code) {
    if (code) return;
    running->timed_out = true;
    running->call.close();
  });
  RequestOutcome outcome;
  outcome.index = index;
  outcome.intended = intended;
  const net::HttpRequest request = planned_request(options_, server_, index);
  const std::function<double()> clock = [this] { return now(); };
  co_await exchange(running->call, options_.target, request, clock, outcome);
  outcome.ended = now();
  running->timer.cancel();
  running_.erase(running);
  if (running->timed_out) outcome.failure = "timeout";
  if (running->timed_out) outcome.message = "no whole answer in time";
  const bool answered = outcome.failure.empty();
  if (!aborted_) finish(std::move(outcome));
  co_return answered;
}

void Runner::finish(RequestOutcome outcome) {
  if (outcome.failure.empty() && outcome.output_tokens == 0 && !outcome.pieces.empty()) {
    outcome.output_tokens = outcome.pieces.size();
    outcome_.counted = false;
  }
  outcome_.requests.push_back(std::move(outcome));
  if (!options_.progress) return;
  if (options_.requests) {
    options_.progress(outcome_.requests.size(), *options_.requests);
  } else {
    const auto total = static_cast<std::uint64_t>(*options_.seconds * 1e3);
    options_.progress(std::min(static_cast<std::uint64_t>(now() * 1e3), total), total);
  }
}

void Runner::abort() {
  aborted_ = true;
  if (looking_) return io_.stop();
  arrivals_.cancel();
  for (const auto& running : running_) running->call.close();
}

}  // namespace

Result<LoadOutcome> run_load(const LoadOptions& options) { return Runner(options).run(); }

}  // namespace tern::diagnose
