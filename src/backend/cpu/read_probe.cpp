#include "backend/cpu/read_probe.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "core/thread_pool.h"

namespace tern::backend {
namespace {

using Clock = std::chrono::steady_clock;
// Two words that the compiler adds at once on every CPU that it builds for.
using Words = std::uint64_t __attribute__((vector_size(16)));

constexpr std::uint64_t kSmallest = 64u << 10;
constexpr std::uint64_t kGrainBytes = 4096;  // each thread's part is a multiple
constexpr std::size_t kGrain = kGrainBytes / sizeof(Words);
constexpr std::array<std::uint32_t, 3> kStreams{1, 2, 4};
constexpr std::chrono::milliseconds kBudget{50};
// A pass reads the buffer so often that the barriers around it do not count.
constexpr std::uint64_t kLeastBytesAPass = 64u << 20;

// The sum of `words`, read as Streams sequences side by side.
template <std::size_t Streams>
std::uint64_t sum(std::span<const Words> words) {
  constexpr std::size_t kUnroll = 16 / Streams;
  const std::size_t length = words.size() / Streams;  // grains make it a multiple of kUnroll
  std::array<Words, 16> sums{};
  for (std::size_t i = 0; i < length; i += kUnroll) {
    for (std::size_t s = 0; s < Streams; ++s) {
      for (std::size_t u = 0; u < kUnroll; ++u) {
        sums[s * kUnroll + u] += words[s * length + i + u];
      }
    }
  }
  Words total{};
  for (const Words& part : sums) total += part;
  return total[0] + total[1];
}

std::uint64_t sum(std::span<const Words> words, std::uint32_t streams) {
  switch (streams) {
    case 1: return sum<1>(words);
    case 2: return sum<2>(words);
    default: return sum<4>(words);
  }
}

class Probe {
 public:
  Probe(std::unique_ptr<Words[]> words, std::size_t count, ThreadPool& pool)
      : words_(std::move(words)), count_(count), pool_(pool), sums_(pool.size()) {
    pool_.run([this](ThreadPool::Worker& worker) {  // first touch: memory near its reader
      const auto [begin, end] = slice_of(count_, kGrain, worker.index(), worker.count());
      std::fill(words_.get() + begin, words_.get() + end, Words{1, 1});
    });
  }

  // Seconds to read the whole buffer once.
  double pass(std::uint32_t streams) {
    const std::uint64_t repeats =
        std::max<std::uint64_t>(1, kLeastBytesAPass / (count_ * sizeof(Words)));
    double seconds = 0.0;
    pool_.run([&](ThreadPool::Worker& worker) {
      const auto [begin, end] = slice_of(count_, kGrain, worker.index(), worker.count());
      const std::span<const Words> own{words_.get() + begin, end - begin};
      worker.barrier();
      const auto start = Clock::now();
      for (std::uint64_t i = 0; i < repeats; ++i) {
        // The volatile store keeps each of the sums.
        *const_cast<volatile std::uint64_t*>(&sums_[worker.index()].value) = sum(own, streams);
      }
      worker.barrier();
      if (worker.index() == 0) {
        seconds = std::chrono::duration<double>(Clock::now() - start).count();
      }
    });
    return seconds / static_cast<double>(repeats);
  }

 private:
  struct alignas(64) Sum {
    std::uint64_t value = 0;
  };

  std::unique_ptr<Words[]> words_;
  std::size_t count_;
  ThreadPool& pool_;
  std::vector<Sum> sums_;
};

}  // namespace

Result<ReadRate> probe_read_rate(std::uint64_t bytes, std::uint32_t threads) {
  const std::uint64_t grains =
      (std::clamp(bytes, kSmallest, kLargestReadProbe) + kGrainBytes - 1) / kGrainBytes;
  const std::size_t count = grains * kGrain;
  std::unique_ptr<Words[]> words(new (std::nothrow) Words[count]);
  if (words == nullptr) {
    return Error{ErrorCode::kOutOfMemory,
                 "cannot allocate " + std::to_string(grains * kGrainBytes) + " bytes",
                 "read probe"};
  }
  TERN_ASSIGN(const std::unique_ptr<ThreadPool> pool, ThreadPool::create(threads));
  Probe probe(std::move(words), count, *pool);
  ReadRate best;
  best.buffer_bytes = grains * kGrainBytes;
  const auto end = Clock::now() + kBudget;
  do {
    for (const std::uint32_t streams : kStreams) {
      const double rate = static_cast<double>(best.buffer_bytes) / probe.pass(streams);
      if (rate <= best.bytes_per_second) continue;
      best.bytes_per_second = rate;
      best.streams = streams;
    }
  } while (Clock::now() < end);
  return best;
}

}  // namespace tern::backend
