#include "diagnose/measure/read_ceiling.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/machine.h"
#include "core/thread_pool.h"

namespace tern::diagnose {
namespace {

// Two words that the compiler adds at once on every CPU that it builds for.
using Words = std::uint64_t __attribute__((vector_size(16)));

constexpr std::uint64_t kSmallest = 64u << 10;
constexpr std::uint64_t kGrainBytes = 4096;  // each thread's part is a multiple
constexpr std::size_t kGrain = kGrainBytes / sizeof(Words);
constexpr std::size_t kLine = 64 / sizeof(Words);     // that each stream reads a step
constexpr std::size_t kAhead = 4096 / sizeof(Words);  // of the reader: what is prefetched
constexpr std::size_t kSums = 8;                      // enough to hide an addition
constexpr std::uint64_t kLeastBytesALoop = std::uint64_t{64} << 20;  // so that barriers are noise

struct Loop {
  std::uint32_t streams;
  bool prefetch;
  std::uint64_t (*sum)(std::span<const Words>);
};

template <std::size_t... I>
inline void add_line(std::array<Words, kSums>& sums, const Words* line, std::size_t first,
                     std::index_sequence<I...>) {
  ((sums[(first + I) % kSums] += line[I]), ...);
}

// One line of each stream. Written as folds, so that every index is a constant.
template <bool Prefetch, std::size_t... Stream>
inline void step(std::array<Words, kSums>& sums, const Words* at, std::size_t length,
                 std::index_sequence<Stream...>) {
  if constexpr (Prefetch) (__builtin_prefetch(at + Stream * length + kAhead), ...);
  (add_line(sums, at + Stream * length, Stream * kLine, std::make_index_sequence<kLine>{}), ...);
}

// The sum of `words`, read as Streams sequences side by side. Prefetching beyond the end is
// allowed: the instruction never faults.
template <std::size_t Streams, bool Prefetch>
std::uint64_t sum(std::span<const Words> words) {
  const std::size_t length = words.size() / Streams;  // grains make it a multiple of kLine
  std::array<Words, kSums> sums{};
  for (std::size_t i = 0; i < length; i += kLine) {
    step<Prefetch>(sums, words.data() + i, length, std::make_index_sequence<Streams>{});
  }
  Words total{};
  for (const Words& part : sums) total += part;
  return total[0] + total[1];
}

constexpr std::array<Loop, 8> kLoops{{{1, false, sum<1, false>},
                                      {2, false, sum<2, false>},
                                      {4, false, sum<4, false>},
                                      {8, false, sum<8, false>},
                                      {1, true, sum<1, true>},
                                      {2, true, sum<2, true>},
                                      {4, true, sum<4, true>},
                                      {8, true, sum<8, true>}}};

// Pages straight from the system, large ones where it has them, and back to it at the end.
class Pages {
 public:
  static Result<Pages> map(std::uint64_t bytes) {
    void* address =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) {
      return Error{ErrorCode::kOutOfMemory, "cannot allocate " + std::to_string(bytes) + " bytes",
                   "read probe"};
    }
#if defined(MADV_HUGEPAGE)
    ::madvise(address, bytes, MADV_HUGEPAGE);  // a wish: without it the TLB costs a little
#endif
    return Pages({static_cast<Words*>(address), bytes / sizeof(Words)});
  }
  Pages(Pages&& other) noexcept : words_(std::exchange(other.words_, {})) {}
  Pages& operator=(Pages&&) = delete;
  ~Pages() {
    if (!words_.empty()) ::munmap(words_.data(), words_.size_bytes());
  }
  std::span<Words> words() const { return words_; }

 private:
  explicit Pages(std::span<Words> words) : words_(words) {}
  std::span<Words> words_;
};

class Probe {
 public:
  static Result<Probe> create(std::uint64_t bytes, std::uint32_t threads, Now now) {
    const std::uint64_t least = std::max(bytes, kSmallest);
    const std::uint64_t grains = least / kGrainBytes + (least % kGrainBytes != 0 ? 1 : 0);
    TERN_TRY(require_memory("read probe", least, available_memory()));
    TERN_ASSIGN(Pages pages, Pages::map(grains * kGrainBytes));
    TERN_ASSIGN(std::unique_ptr<ThreadPool> pool, ThreadPool::create(threads));
    return Probe(std::move(pages), std::move(pool), now);
  }

  std::uint64_t bytes() const { return words().size_bytes(); }

  // Bytes a second. Every number of the buffer is 1, so that the sums say how many were read.
  double rate(const Loop& loop) {
    const std::uint64_t repeats = std::max<std::uint64_t>(1, kLeastBytesALoop / bytes());
    Span span(now_);
    pool_->run([&](ThreadPool::Worker& worker) {
      const std::span<const Words> own = part(worker);
      volatile std::uint64_t& read = sums_[worker.index()].value;  // keeps each of the sums
      read = 0;
      worker.barrier();
      span.begin();
      for (std::uint64_t i = 0; i < repeats; ++i) read = read + loop.sum(own);
      span.end();
    });
    std::uint64_t numbers = 0;
    for (const Sum& sum : sums_) numbers += sum.value;
    return static_cast<double>(numbers * sizeof(std::uint64_t)) / span.seconds();
  }

 private:
  struct alignas(64) Sum {
    std::uint64_t value = 0;
  };

  Probe(Pages pages, std::unique_ptr<ThreadPool> pool, Now now)
      : pages_(std::move(pages)), pool_(std::move(pool)), now_(now), sums_(pool_->size()) {
    pool_->run([this](ThreadPool::Worker& worker) {  // first touch: memory near its reader
      const std::span<Words> own = part(worker);
      std::fill(own.begin(), own.end(), Words{1, 1});
    });
  }

  std::span<Words> words() const { return pages_.words(); }

  std::span<Words> part(const ThreadPool::Worker& worker) const {
    const auto [begin, end] = slice_of(words().size(), kGrain, worker.index(), worker.count());
    return words().subspan(begin, end - begin);
  }

  Pages pages_;
  std::unique_ptr<ThreadPool> pool_;
  Now now_;
  std::vector<Sum> sums_;
};

}  // namespace

Result<ReadCeiling> measure_read_ceiling(std::uint64_t bytes, std::uint32_t threads,
                                         std::chrono::milliseconds budget, Now now) {
  TERN_ASSIGN(Probe probe, Probe::create(bytes, threads, now));
  ReadCeiling best;
  best.buffer_bytes = probe.bytes();
  const auto end = now() + budget;
  do {
    for (const Loop& loop : kLoops) {
      const double rate = probe.rate(loop);
      if (rate <= best.bytes_per_second) continue;
      best.bytes_per_second = rate;
      best.streams = loop.streams;
      best.prefetch = loop.prefetch;
    }
  } while (now() < end);
  return best;
}

Result<double> measure_read_rate(const ReadCeiling& ceiling, std::uint64_t bytes,
                                 std::uint32_t threads, std::chrono::milliseconds budget, Now now) {
  const auto loop = std::find_if(kLoops.begin(), kLoops.end(), [&](const Loop& each) {
    return each.streams == ceiling.streams && each.prefetch == ceiling.prefetch;
  });
  if (loop == kLoops.end()) {
    return Error{ErrorCode::kUsage, "expected a measured ceiling", "read probe"};
  }
  TERN_ASSIGN(Probe probe, Probe::create(bytes, threads, now));
  double passes = 0.0;
  double seconds_a_byte = 0.0;  // of all passes
  const auto end = now() + budget;
  do {
    passes += 1.0;
    seconds_a_byte += 1.0 / probe.rate(*loop);
  } while (now() < end);
  return passes / seconds_a_byte;
}

}  // namespace tern::diagnose
