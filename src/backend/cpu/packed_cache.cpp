#include "backend/cpu/packed_cache.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/aligned_buffer.h"
#include "core/fast_hash.h"

namespace tern::backend {
namespace {

// Read and hashed in turn, it is still in the second-level cache for the hash.
constexpr std::uint64_t kPartBytes = 1u << 18;
constexpr std::uint64_t kMostTableBytes = 1u << 28;  // hashes of 30 TB

// The end of the payload. Before it stands the table, before that the blobs, one after the other.
struct Footer {
  std::uint64_t table_bytes;
  std::uint64_t table_hash;
};

// A row of the table; the name and the hashes of the parts follow.
struct Row {
  std::uint64_t name_bytes;
  std::uint64_t blob_bytes;
};

std::uint64_t parts_of(std::uint64_t bytes) { return (bytes + kPartBytes - 1) / kPartBytes; }

template <typename T>
void append(std::vector<std::byte>& to, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  to.insert(to.end(), bytes.begin(), bytes.end());
}

// Takes values off the front of `from`; false where there are fewer.
template <typename T>
bool take_front(std::span<const std::byte>& from, std::span<T> values) {
  if (from.size() < values.size_bytes()) return false;
  if (!values.empty()) std::memcpy(values.data(), from.data(), values.size_bytes());
  from = from.subspan(values.size_bytes());
  return true;
}

Error damaged(std::string_view what) {
  return Error{ErrorCode::kMalformed, "damaged: the " + std::string(what) + " has another hash",
               ""};
}

// "five-trits-1 48x256:two-bits" is version 1 of "five-trits" (CpuBackend::layout()).
struct LayoutVersion {
  std::string_view packing;
  std::uint32_t version = 0;
};

std::optional<LayoutVersion> version_of(std::string_view layout) {
  const std::string_view own = layout.substr(0, layout.find(' '));
  const std::size_t dash = own.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  LayoutVersion found{own.substr(0, dash)};
  const char* const last = own.data() + own.size();
  const auto [end, error] = std::from_chars(own.data() + dash + 1, last, found.version);
  if (error != std::errc() || end != last) return std::nullopt;
  return found;
}

bool is_former(std::string_view layout, std::string_view own) {
  const auto a = version_of(layout);
  const auto b = version_of(own);
  return a && b && a->packing == b->packing && a->version < b->version;
}

}  // namespace

PackedCache::PackedCache(CacheDir directory, std::string key, CacheLabel label,
                         std::uint64_t read_together)
    : directory_(std::move(directory)),
      key_(std::move(key)),
      label_(std::move(label)),
      read_together_(read_together) {
  auto found = directory_.find(key_);
  if (found && !*found) return;
  Result<void> read;
  if (found) {
    entry_ = std::move(*found);
    read = read_table();
  }
  if (found && read) return;
  trouble_ = (found ? read.error() : found.error()).to_string();
  forget();
}

void PackedCache::forget() {
  places_.clear();
  blobs_.clear();
  entry_.reset();
}

Result<void> PackedCache::read_table() {
  Footer footer{};
  const std::uint64_t size = entry_->size();
  if (size < sizeof footer) return damaged("size");
  const std::uint64_t table_end = size - sizeof footer;
  TERN_TRY(entry_->read(table_end, std::as_writable_bytes(std::span(&footer, 1))));
  if (footer.table_bytes > std::min(table_end, kMostTableBytes)) return damaged("table");
  std::vector<std::byte> table(footer.table_bytes);
  TERN_TRY(entry_->read(table_end - table.size(), table));
  if (fast_hash(table) != footer.table_hash) return damaged("table");
  return parse_table(table, table_end - table.size());
}

Result<void> PackedCache::parse_table(std::span<const std::byte> table,
                                      std::uint64_t table_offset) {
  std::uint64_t offset = 0;
  while (!table.empty()) {
    Row row{};
    if (!take_front(table, std::span(&row, 1)) || row.name_bytes > table.size() ||
        row.blob_bytes > table_offset - offset ||
        parts_of(row.blob_bytes) > table.size() / sizeof(std::uint64_t)) {
      return damaged("table");
    }
    Blob blob;
    blob.offset = offset;
    blob.bytes = row.blob_bytes;
    blob.name.resize(row.name_bytes);
    blob.hashes.resize(parts_of(blob.bytes));
    if (!take_front(table, std::span(blob.name)) || !take_front(table, std::span(blob.hashes))) {
      return damaged("table");
    }
    offset += blob.bytes;
    places_.insert_or_assign(blob.name, blobs_.size());
    blobs_.push_back(std::move(blob));
  }
  if (offset != table_offset) return damaged("table");
  return {};
}

Result<void> PackedCache::read_part(const Blob& blob, std::size_t part) const {
  const std::uint64_t at = part * kPartBytes;
  const auto to = blob.memory.subspan(at, std::min(kPartBytes, blob.bytes - at));
  TERN_TRY(entry_->read(blob.offset + at, to));
  return fast_hash(to) == blob.hashes[part] ? Result<void>{} : damaged("blob");
}

// That blob and those behind it, which the arena lays side by side.
Result<void> PackedCache::read_from(std::size_t first, Arena& arena, ThreadPool& pool) {
  struct Part {
    std::size_t blob;
    std::size_t part;
    Result<void> outcome;
  };
  std::vector<Part> parts;
  std::uint64_t total = 0;
  for (std::size_t i = first; i < blobs_.size() && !blobs_[i].read; ++i) {
    Blob& blob = blobs_[i];
    total += blob.bytes;
    if (i != first && total > read_together_) break;
    TERN_ASSIGN(blob.memory, arena.allocate(blob.bytes, blob.name));
    blob.read = true;
    for (std::size_t part = 0; part < blob.hashes.size(); ++part) parts.push_back({i, part, {}});
  }
  pool.run([&](ThreadPool::Worker& worker) {
    const Slice slice = slice_of(parts.size(), 1, worker.index(), worker.count());
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      parts[i].outcome = read_part(blobs_[parts[i].blob], parts[i].part);
    }
  });
  for (const Part& part : parts) {
    if (part.outcome) continue;
    Blob& blob = blobs_[part.blob];
    blob.damaged = true;
    if (!trouble_.empty()) continue;
    trouble_ = (directory_.path() / key_).string() + ": " + blob.name + ": " +
               part.outcome.error().to_string();
  }
  return {};
}

const PackedCache::Blob* PackedCache::find(std::string_view name, std::uint64_t bytes) const {
  const auto found = places_.find(name);
  if (found == places_.end() || blobs_[found->second].bytes != bytes) return nullptr;
  return &blobs_[found->second];
}

Result<PackedCache::Taken> PackedCache::take(std::string_view name, std::uint64_t bytes,
                                             Arena& arena, ThreadPool& pool) {
  const Blob* const blob = find(name, bytes);
  if (blob == nullptr) return Taken();
  if (!blob->read) TERN_TRY(read_from(static_cast<std::size_t>(blob - blobs_.data()), arena, pool));
  if (!blob->damaged) ++taken_;
  return Taken{blob->memory, !blob->damaged};
}

void PackedCache::discard() {
  forget();
  static_cast<void>(directory_.remove(key_));
}

Result<void> PackedCache::compare(std::string_view name, std::span<const std::byte> taken,
                                  const Make& make) {
  TERN_ASSIGN(AlignedBuffer made, AlignedBuffer::allocate(taken.size(), name));
  TERN_TRY(make(made.data()));
  if (taken.empty() || std::memcmp(taken.data(), made.data(), taken.size()) == 0) {
    ++compared_;
    return {};
  }
  const auto differs = std::mismatch(taken.begin(), taken.end(), made.data()).first;
  return Error{ErrorCode::kProofFailed,
               "expected what is packed of the model file, found another byte at " +
                   std::to_string(differs - taken.begin()) + " of " + std::to_string(taken.size()) +
                   "; remove the entry with `tern cache clear`",
               (directory_.path() / key_).string() + ": " + std::string(name)};
}

void PackedCache::keep(std::string_view name, std::span<const std::byte> blob) {
  kept_.push_back({std::string(name), blob});
}

std::vector<std::byte> PackedCache::make_table() const {
  std::vector<std::byte> table;
  for (const Kept& kept : kept_) {
    const Row row{kept.name.size(), kept.bytes.size()};
    append(table, std::span(&row, 1));
    append(table, std::span<const char>(kept.name));
    for (std::size_t at = 0; at < kept.bytes.size(); at += kPartBytes) {
      const std::size_t size = std::min<std::size_t>(kPartBytes, kept.bytes.size() - at);
      const std::uint64_t hash = fast_hash(kept.bytes.subspan(at, size));
      append(table, std::span(&hash, 1));
    }
  }
  return table;
}

Result<void> PackedCache::store(const Progress& progress) {
  entry_.reset();  // it may go
  const std::vector<std::byte> table = make_table();
  const Footer footer{table.size(), fast_hash(table)};
  std::uint64_t total = 0;
  for (const Kept& kept : kept_) total += kept.bytes.size();
  TERN_ASSIGN(CacheWriter writer,
              directory_.begin(key_, label_, total + table.size() + sizeof footer));
  std::uint64_t done = 0;
  for (const Kept& kept : kept_) {
    TERN_TRY(writer.write(kept.bytes));
    done += kept.bytes.size();
    progress(done, total);
  }
  TERN_TRY(writer.write(table));
  TERN_TRY(writer.write(std::as_bytes(std::span(&footer, 1))));
  TERN_TRY(writer.commit());
  remove_former();
  return {};
}

// Only space is lost where this fails: it may be in use, or go with another writer.
void PackedCache::remove_former() {
  const auto entries = directory_.list();
  if (!entries) return;
  for (const CacheListing& entry : *entries) {
    if (entry.unfinished || !entry.label || entry.label->subject != label_.subject) continue;
    if (is_former(entry.label->variant, label_.variant)) {
      static_cast<void>(directory_.remove(entry));
    }
  }
}

Result<PackedBlob> packed_blob(PackedCache* cache, std::string_view name, std::uint64_t bytes,
                               Arena& arena, ThreadPool& pool, const PackedCache::Make& make) {
  PackedCache::Taken taken;
  if (cache != nullptr) {
    TERN_ASSIGN(taken, cache->take(name, bytes, arena, pool));
  }
  if (!taken.whole) {
    if (taken.memory.empty()) {
      TERN_ASSIGN(taken.memory, arena.allocate(bytes, name));
    }
    TERN_TRY(make(taken.memory.data()));
  } else if (cache->compares()) {
    TERN_TRY(cache->compare(name, taken.memory, make));
  }
  if (cache != nullptr) cache->keep(name, taken.memory);
  return PackedBlob{taken.memory.data(), taken.whole};
}

}  // namespace tern::backend
