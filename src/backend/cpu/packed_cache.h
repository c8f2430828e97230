// What is made of a model's weights at load, kept on disk between runs: an entry of a CacheDir for
// a model file and a layout, which holds named blobs, each with hashes of its parts. Every byte
// that is taken is checked. Blobs are read into memory on large pages, and not mapped: decoding
// reads them at the speed of memory whatever pages the file has (docs/adr/0005).
//
// Not thread-safe: who loads uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/arena.h"
#include "core/cache_dir.h"
#include "core/result.h"
#include "core/thread_pool.h"

namespace tern::backend {

class PackedCache {
 public:
  // Looks for the entry of `key`: two loads share it that make the same bytes of the same model.
  // Blobs are asked for as they were kept, and read together up to so many bytes: threads wait for
  // each other a few times, and not at each blob.
  PackedCache(CacheDir directory, std::string key, CacheLabel label,
              std::uint64_t read_together = std::uint64_t{64} << 20);

  struct Taken {
    std::span<std::byte> memory;  // in the arena; of a damaged blob for who makes it again
    bool whole = false;           // has the blob; else there is none, or it is damaged
  };
  // Whether take() would find such a blob; it may yet turn out to be damaged.
  bool has(std::string_view name, std::uint64_t bytes) const {
    return find(name, bytes) != nullptr;
  }
  // The blob of that name and size. Errors: kOutOfMemory.
  Result<Taken> take(std::string_view name, std::uint64_t bytes, Arena& arena, ThreadPool& pool);
  // Adds a blob to what store() writes. Borrowed until then.
  void keep(std::string_view name, std::span<const std::byte> blob);

  // Nothing of the entry that was found is taken from now on, and it goes; where another process
  // reads it, store() replaces it.
  void discard();

  // From now on packed_blob() makes what it takes as well, and compares all of it.
  void compare_all() { compares_ = true; }
  bool compares() const { return compares_; }
  // Holds a blob that was taken to what `make` writes into memory beside it. Errors: kProofFailed
  // where a byte differs; those of `make`, kOutOfMemory.
  using Make = std::function<Result<void>(std::byte* to)>;
  Result<void> compare(std::string_view name, std::span<const std::byte> taken, const Make& make);
  std::size_t compared() const { return compared_; }  // blobs, all of them the same

  bool took_any() const { return taken_ > 0; }
  // Whether everything asked for was there: then there is nothing to store.
  bool complete() const { return kept_.empty() || taken_ == kept_.size(); }
  // What was wrong first with the entry that was found; empty: nothing.
  const std::string& trouble() const { return trouble_; }

  using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;
  // Writes all that was kept, in place of the entry that was not complete; what a former version of
  // the layout has of the same model goes. Call it once the weights are proved. Errors: those of
  // CacheDir.
  Result<void> store(const Progress& progress);

 private:
  struct Blob {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::vector<std::uint64_t> hashes;  // of parts of kPartBytes
    std::string name;
    bool read = false;  // into `memory`
    bool damaged = false;
    std::span<std::byte> memory;
  };
  struct Kept {
    std::string name;
    std::span<const std::byte> bytes;
  };

  void forget();  // what was found
  const Blob* find(std::string_view name, std::uint64_t bytes) const;
  Result<void> read_table();
  Result<void> parse_table(std::span<const std::byte> table, std::uint64_t table_offset);
  Result<void> read_from(std::size_t first, Arena& arena, ThreadPool& pool);
  Result<void> read_part(const Blob& blob, std::size_t part) const;
  std::vector<std::byte> make_table() const;
  void remove_former();

  CacheDir directory_;
  std::string key_;
  CacheLabel label_;
  std::uint64_t read_together_;
  std::optional<CacheReader> entry_;
  std::vector<Blob> blobs_;  // as they lie in the payload
  std::map<std::string, std::size_t, std::less<>> places_;
  std::vector<Kept> kept_;
  std::size_t taken_ = 0;
  bool compares_ = false;
  std::size_t compared_ = 0;
  std::string trouble_;
};

struct PackedBlob {
  std::byte* bytes = nullptr;  // in the arena
  bool cached = false;         // taken from the cache, where only proved weights are kept
};

// The blob of that name from the cache, or, where it is not there or there is no cache, what `make`
// writes into memory of that size; then the cache keeps it. Errors: those of `make`, kOutOfMemory;
// of a cache that compares all, those of PackedCache::compare().
Result<PackedBlob> packed_blob(PackedCache* cache, std::string_view name, std::uint64_t bytes,
                               Arena& arena, ThreadPool& pool, const PackedCache::Make& make);

}  // namespace tern::backend
