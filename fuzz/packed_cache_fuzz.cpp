// An entry of the cache of packed weights, with any bytes changed and, where the input wants it,
// with hashes that are right again. The directory lists it, finds it and gives its blobs back as a
// second decoder reads them, written from the layout's description; what that one refuses is
// refused, and a blob with one damaged part is not given.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/packed_cache.h"
#include "check.h"
#include "core/fast_hash.h"
#include "support/temporary_directory.h"

namespace {

using tern::CacheLabel;
using tern::fast_hash;
using tern::fuzz::Input;
using tern::fuzz::require;
using Bytes = std::vector<std::byte>;

constexpr std::string_view kMagic = "terncach";
constexpr std::size_t kHeader = 4096;
constexpr std::size_t kHash = kHeader - sizeof(std::uint64_t);
constexpr std::size_t kPayloadBytes = 24;
constexpr std::size_t kTexts = 32;
constexpr std::size_t kTextBytes = 1024;
constexpr std::size_t kFooter = 16;
constexpr std::size_t kPart = 1u << 18;
constexpr char kKey[] = "key";

template <typename T>
void append(Bytes& to, T value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

template <typename T>
void put(Bytes& to, std::size_t at, T value) {
  std::memcpy(to.data() + at, &value, sizeof value);
}

Input reader(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

// The hashes of a blob's parts.
std::vector<std::uint64_t> hashes_of(std::span<const std::byte> blob) {
  std::vector<std::uint64_t> hashes;
  for (; !blob.empty(); blob = blob.subspan(std::min(kPart, blob.size()))) {
    hashes.push_back(fast_hash(blob.first(std::min(kPart, blob.size()))));
  }
  return hashes;
}

Bytes header(const CacheLabel& label) {
  Bytes bytes(kHeader);
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  put(bytes, 8, std::uint32_t{1});
  put(bytes, 12, static_cast<std::uint32_t>(label.subject.size()));
  put(bytes, 16, static_cast<std::uint32_t>(label.variant.size()));
  std::memcpy(bytes.data() + kTexts, label.subject.data(), label.subject.size());
  std::memcpy(bytes.data() + kTexts + kTextBytes, label.variant.data(), label.variant.size());
  return bytes;
}

// An entry as the input describes it, but for the hashes of header and table.
Bytes entry(Input& in) {
  Bytes bytes = header({std::string(in.bytes(in.below(8))), std::string(in.bytes(in.below(8)))});
  Bytes table;
  for (std::size_t blobs = in.below(4); blobs > 0; --blobs) {
    const std::string name(in.bytes(in.below(8)));
    const std::size_t large = in.below(32) == 1 ? kPart : 0;
    const Bytes blob(large + in.byte(), static_cast<std::byte>(in.byte()));
    append(table, std::uint64_t{name.size()});
    append(table, std::uint64_t{blob.size()});
    for (const char c : name) append(table, c);
    for (const std::uint64_t hash : hashes_of(blob)) append(table, hash);
    bytes.insert(bytes.end(), blob.begin(), blob.end());
  }
  bytes.insert(bytes.end(), table.begin(), table.end());
  append(bytes, std::uint64_t{table.size()});
  append(bytes, std::uint64_t{0});
  return bytes;
}

void correct_hashes(Bytes& bytes, bool of_table, bool of_header) {
  if (of_table && bytes.size() >= kHeader + kFooter) {
    const std::size_t end = bytes.size() - kFooter;
    const auto size = reader(std::span(bytes).subspan(end)).take<std::uint64_t>();
    const auto payload = std::span(bytes).first(end).subspan(kHeader);
    if (size <= payload.size()) put(bytes, end + 8, fast_hash(payload.last(size)));
  }
  if (of_header && bytes.size() >= kHeader) {
    put(bytes, kHash, fast_hash(std::span(bytes).first(kHash)));
  }
}

// What the input changes: the size, and bytes anywhere or near the end, where the table is.
void change(Input& in, Bytes& bytes) {
  const std::size_t choice = in.below(16);
  if (choice == 1) bytes.resize(in.take<std::uint32_t>() % bytes.size());
  if (choice == 2) bytes.resize(bytes.size() + in.byte());
  const bool of_table = !in.flag();
  const bool of_header = !in.flag();
  if (!in.flag() && bytes.size() >= kHeader) {
    put(bytes, kPayloadBytes, std::uint64_t{bytes.size() - kHeader});
  }
  correct_hashes(bytes, true, true);
  while (!in.empty() && !bytes.empty()) {
    const std::size_t size = bytes.size();
    const bool near_end = in.flag();
    const std::size_t distance =
        in.take<std::uint32_t>() % (near_end ? std::min(size, 128ul) : size);
    const std::size_t at = near_end ? size - 1 - distance : distance;
    std::ranges::copy(in.copy(std::min(in.below(17), size - at)),
                      bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  correct_hashes(bytes, of_table, of_header);
}

// The second decoder. No value: no entry.
std::optional<CacheLabel> label_in(const Bytes& file) {
  if (file.size() < kHeader) return std::nullopt;
  Input in = reader(file);
  const bool known = in.bytes(kMagic.size()) == kMagic && in.take<std::uint32_t>() == 1;
  const auto subject = in.take<std::uint32_t>();
  const auto variant = in.take<std::uint32_t>();
  static_cast<void>(in.take<std::uint32_t>());
  const auto payload = in.take<std::uint64_t>();
  const std::string_view texts[] = {in.bytes(kTextBytes), in.bytes(kTextBytes)};
  const bool right = reader(std::span(file).subspan(kHash)).take<std::uint64_t>() ==
                     fast_hash(std::span(file).first(kHash));
  if (!known || !right || subject > kTextBytes || variant > kTextBytes ||
      payload != file.size() - kHeader) {
    return std::nullopt;
  }
  return CacheLabel{std::string(texts[0].substr(0, subject)),
                    std::string(texts[1].substr(0, variant))};
}

struct Blob {
  std::span<const std::byte> bytes;
  bool whole;  // its parts have the hashes of the table
};
using Blobs = std::map<std::string, Blob>;

// No value: a table that is none.
std::optional<Blobs> blobs_in(std::span<const std::byte> payload) {
  if (payload.size() < kFooter) return std::nullopt;
  Input footer = reader(payload.last(kFooter));
  payload = payload.first(payload.size() - kFooter);
  const auto table_bytes = footer.take<std::uint64_t>();
  if (table_bytes > payload.size()) return std::nullopt;
  if (fast_hash(payload.last(table_bytes)) != footer.take<std::uint64_t>()) return std::nullopt;
  Input table = reader(payload.last(table_bytes));
  payload = payload.first(payload.size() - table_bytes);
  Blobs blobs;
  while (!table.empty()) {
    if (table.size() < 16) return std::nullopt;
    const auto name_bytes = table.take<std::uint64_t>();
    const auto blob_bytes = table.take<std::uint64_t>();
    if (name_bytes > table.size() || blob_bytes > payload.size()) return std::nullopt;
    const std::string name(table.bytes(name_bytes));
    const auto blob = payload.first(blob_bytes);
    payload = payload.subspan(blob_bytes);
    bool whole = true;
    for (const std::uint64_t hash : hashes_of(blob)) {
      if (table.size() < sizeof hash) return std::nullopt;
      whole &= table.take<std::uint64_t>() == hash;
    }
    blobs.insert_or_assign(name, Blob{blob, whole});
  }
  if (!payload.empty()) return std::nullopt;
  return blobs;
}

// What does not begin as an entry is a file of somebody else, and not listed.
void require_listed(const tern::CacheDir& directory, const std::optional<CacheLabel>& label,
                    const Bytes& bytes) {
  const bool ours = bytes.empty() || (bytes.size() >= kMagic.size() &&
                                      std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0);
  const auto listed = directory.list();
  require(listed.ok() && listed->size() == (ours ? 1u : 0u));
  if (!ours) return;
  const tern::CacheListing& entry = listed->front();
  require(entry.key == kKey && entry.bytes == bytes.size() && entry.label == label);
}

void require_given(tern::backend::PackedCache& cache, const std::optional<Blobs>& blobs) {
  static tern::ThreadPool pool(1);
  require(cache.trouble().empty() == blobs.has_value());
  tern::Arena arena;
  const auto take = [&](const std::string& name, std::size_t bytes) {
    auto taken = cache.take(name, bytes, arena, pool);
    require(taken.ok());
    return *taken;
  };
  if (!blobs) {
    require(!take("", 0).whole);
    return;
  }
  for (const auto& [name, blob] : *blobs) {
    require(!take(name, blob.bytes.size() + 1).whole);
    const auto taken = take(name, blob.bytes.size());
    require(taken.whole == blob.whole);
    require(!taken.whole || std::ranges::equal(taken.memory, blob.bytes));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tern::test::TemporaryDirectory kFolder;
  static const auto kDirectory = tern::CacheDir::open(kFolder / "cache", std::uint64_t{1} << 30);
  require(kDirectory.ok());
  Input in(data, size);
  Bytes bytes = entry(in);
  change(in, bytes);
  std::ofstream file(kDirectory->path() / (std::string(kKey) + ".entry"), std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  require(file.good());
  const auto label = label_in(bytes);
  require_listed(*kDirectory, label, bytes);
  tern::backend::PackedCache cache(*kDirectory, kKey, {});
  require_given(cache, label ? blobs_in(std::span(bytes).subspan(kHeader)) : std::nullopt);
  return 0;
}
