// What the barriers of a decoded token cost, and what of it is the barriers' own.
//
// usage: bench_barriers MODEL THREADS TOKENS
//
// Of each barrier the log of the team says when each worker came and went on. Between the last
// coming and the last going lies the barrier's own cost; how long a worker stands there before the
// last has come is waiting, and what of it the same worker waits at every token is lasting
// imbalance: the rest is what memory, hypervisor and kernel do to one worker and not to the other.
// Beside them: a barrier where all come together, again and again.
//
// Prints lines of a name, a value and its unit; shares are medians over the tokens.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "diagnose/measure/statistics.h"
#include "diagnose/measure/steal.h"
#include "engine/sequence.h"
#include "kernels/registry.h"
#include "model/model.h"

namespace tern {
namespace {

using Clock = std::chrono::steady_clock;

double micros(Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

void print(const char* name, double value, const char* unit) {
  std::printf("%s %.4f %s\n", name, value, unit);
}

double median(const std::vector<double>& values) { return diagnose::quartiles(values).median; }

// The median microseconds of a barrier at which all come together.
double together(ThreadPool& team) {
  constexpr int kRuns = 51;
  constexpr int kBarriers = 1000;
  std::vector<double> each;
  for (int run = 0; run < kRuns; ++run) {
    Clock::duration took{};
    team.run([&](ThreadPool::Worker& worker) {
      worker.barrier();
      const auto start = Clock::now();
      for (int i = 0; i < kBarriers; ++i) worker.barrier();
      if (worker.index() == 0) took = Clock::now() - start;
    });
    each.push_back(micros(took) / kBarriers);
  }
  return median(each);
}

// Of one token, in microseconds.
struct Token {
  double whole = 0.0;
  double own = 0.0;          // of its barriers, start and end included
  double waiting = 0.0;      // the mean of the workers
  std::vector<double> late;  // by barrier: how much later than worker 0 the last worker came
};

// The start of a run is its first pass and the end its last: see BarrierLog.
Token token_of(const BarrierLog& log, double whole) {
  const std::size_t workers = log.size();
  const std::size_t passes = log[0].size();
  Token token{whole, 0.0, 0.0, {}};
  for (std::size_t i = 0; i < passes; ++i) {
    auto last_arrived = log[0][i].arrived;
    auto last_left = log[0][i].left;
    for (std::size_t w = 1; w < workers; ++w) {
      if (i > 0) last_arrived = std::max(last_arrived, log[w][i].arrived);
      last_left = std::max(last_left, log[w][i].left);
    }
    token.own += micros(last_left - last_arrived);
    if (i == 0) continue;
    for (std::size_t w = 0; w < workers; ++w) {
      token.waiting += micros(last_arrived - log[w][i].arrived) / static_cast<double>(workers);
    }
    token.late.push_back(micros(log[workers - 1][i].arrived - log[0][i].arrived));
  }
  return token;
}

std::vector<Token> decode(engine::Sequence& sequence, ThreadPool& team, std::uint32_t tokens) {
  const std::vector<std::int32_t> input{1};
  const std::uint32_t vocab = sequence.model().config().vocab;
  std::vector<Token> found;
  BarrierLog log;
  for (std::uint32_t i = 0; i <= tokens; ++i) {
    for (auto& passes : log) passes.clear();
    team.log_barriers(&log);
    const auto start = Clock::now();
    must(sequence.append(input, {.top = engine::TopLogits{1, vocab, {}}}));
    const double whole = micros(Clock::now() - start);
    if (i == 0) continue;  // its pages are new
    found.push_back(token_of(log, whole));
  }
  team.log_barriers(nullptr);
  return found;
}

// In microseconds a token, the mean of the workers.
double lasting_imbalance(const std::vector<Token>& tokens, std::size_t workers) {
  double sum = 0.0;
  for (std::size_t i = 0; i < tokens[0].late.size(); ++i) {
    std::vector<double> late(tokens.size());
    std::transform(tokens.begin(), tokens.end(), late.begin(),
                   [&](const Token& token) { return token.late[i]; });
    sum += std::abs(median(late));
  }
  return sum / static_cast<double>(workers);
}

void report(const std::vector<Token>& tokens, std::size_t workers) {
  std::vector<double> whole, own, waiting, all;
  for (const Token& token : tokens) {
    whole.push_back(token.whole);
    own.push_back(token.own / token.whole);
    waiting.push_back(token.waiting / token.whole);
    all.push_back(own.back() + waiting.back());
  }
  print("barriers", static_cast<double>(tokens[0].late.size()), "a_token");
  print("token", median(whole), "us");
  print("own", median(own), "of_token");
  print("waiting", median(waiting), "of_token");
  print("waiting_upper_quartile", diagnose::quartiles(waiting).upper, "of_token");
  print("lasting_imbalance", lasting_imbalance(tokens, workers) / median(whole), "of_token");
  print("all", median(all), "of_token");
}

void run(char** words) {
  const auto threads = static_cast<std::uint32_t>(std::strtoul(words[1], nullptr, 10));
  const auto tokens = static_cast<std::uint32_t>(std::strtoul(words[2], nullptr, 10));
  if (threads < 2 || tokens < 1) throw std::runtime_error("expected two threads and a token");
  const auto& tier = kernels::best_table(detect_cpu_features());
  const auto backend = must(backend::CpuBackend::create(tier, threads));
  const auto model = must(model::Model::load(must(format::GgufFile::open(words[0])), *backend));
  auto sequence = must(engine::Sequence::create(model, {.context = tokens + 1}));
  const auto before = diagnose::read_cpu_time();
  const std::vector<Token> found = decode(sequence, backend->team(), tokens);
  const auto after = diagnose::read_cpu_time();
  print("together", together(backend->team()), "us");
  report(found, threads);
  if (before && after) print("stolen", diagnose::stolen_share(*before, *after), "of_time");
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s MODEL THREADS TOKENS\n", argv[0]);
    return 2;
  }
  try {
    tern::run(argv + 1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_barriers: %s\n", error.what());
    return 1;
  }
  return 0;
}
