// What `tern tune` keeps, with any bytes changed and, where the input wants it, with a hash that is
// right again, read for any tier. It is accepted where a second decoder, written from the layout's
// description, accepts it, and says the same; written again it is read as the same, and has the
// same bytes where its rows and teams ascend, as tuning_bytes() writes them.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/cpu/tuning.h"
#include "check.h"
#include "core/fast_hash.h"
#include "kernels/registry.h"

namespace {

using tern::fast_hash;
using tern::fuzz::Input;
using tern::fuzz::require;
using tern::kernels::KernelTable;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kHash = sizeof(std::uint64_t);
constexpr std::size_t kHead = 32;
constexpr std::size_t kRow = 32;
constexpr std::size_t kTeam = 16;

template <typename T>
void append(Bytes& to, T value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

// As the input describes it: mostly what a tier could have; the hash is to come.
Bytes described(Input& in, std::string_view text) {
  const std::size_t rows = in.below(4);
  const std::size_t teams = in.below(4);
  Bytes bytes;
  for (const std::size_t number : {std::size_t{3}, text.size(), rows, teams}) {
    append(bytes, std::uint64_t{number});
  }
  for (const char c : text) append(bytes, c);
  for (std::size_t i = 0; i < rows; ++i) {
    append(bytes, std::uint64_t{in.byte()});
    append(bytes, std::uint64_t{in.byte()});
    append(bytes, static_cast<std::uint32_t>(in.below(2)));
    append(bytes, std::uint32_t{1} << in.below(3));
    append(bytes, std::uint32_t{in.byte()} << 12);
    append(bytes, std::uint32_t{1} << in.below(8) & ~std::uint32_t{1});
  }
  for (std::size_t i = 0; i < teams; ++i) {
    append(bytes, std::uint64_t{in.byte()});
    append(bytes, 1 + std::uint64_t{in.byte()});
  }
  append(bytes, std::uint64_t{0});
  return bytes;
}

void correct_hash(Bytes& bytes) {
  if (bytes.size() < kHash) return;
  const std::uint64_t hash = fast_hash(std::span(bytes).first(bytes.size() - kHash));
  std::memcpy(bytes.data() + bytes.size() - kHash, &hash, kHash);
}

// What the input changes: the size, and bytes anywhere.
void change(Input& in, Bytes& bytes) {
  const bool right_hash = in.below(4) != 1;
  const std::size_t choice = in.below(8);
  if (choice == 1) bytes.resize(in.byte() % bytes.size());
  if (choice == 2) bytes.resize(bytes.size() + in.byte());
  correct_hash(bytes);
  while (!in.empty() && !bytes.empty()) {
    const std::size_t at = in.take<std::uint16_t>() % bytes.size();
    std::ranges::copy(in.copy(std::min(in.below(9), bytes.size() - at)),
                      bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  if (right_hash) correct_hash(bytes);
}

struct Decoded {
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::array<std::uint32_t, 4>> plans;
  std::map<std::uint64_t, std::uint64_t> teams;
  bool ascends = true;  // and nothing is there twice
};

bool can(const KernelTable& tier, const std::array<std::uint32_t, 4>& plan) {
  const auto [packing, streams, prefetch, tiles] = plan;
  const bool known = packing == static_cast<std::uint32_t>(tern::kernels::Packing::kTwoBits) ||
                     (packing == static_cast<std::uint32_t>(tern::kernels::Packing::kFiveTrits) &&
                      tier.five_trits);
  const bool reads = (streams == 1 || streams == 2 || streams == 4) && prefetch <= 1048576;
  if (tiles == 0) return known && reads;
  constexpr std::array<std::uint32_t, 6> kTiles{2, 4, 8, 16, 32, 64};
  return known && reads && tier.tile_tokens != 0 && std::ranges::count(kTiles, tiles) == 1;
}

template <typename Map, typename Key, typename Value>
void put(Decoded& to, Map& map, const Key& key, const Value& value) {
  to.ascends = to.ascends && (map.empty() || map.rbegin()->first < key);
  map.insert_or_assign(key, value);
}

// The second decoder. No value: refused.
std::optional<Decoded> decoded(const Bytes& bytes, std::string_view made_by,
                               const KernelTable& tier) {
  if (bytes.size() < kHead + kHash) return std::nullopt;
  std::uint64_t hash = 0;
  std::memcpy(&hash, bytes.data() + bytes.size() - kHash, kHash);
  if (hash != fast_hash(std::span(bytes).first(bytes.size() - kHash))) return std::nullopt;
  Input in(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size() - kHash);
  const auto version = in.take<std::uint64_t>();
  const auto text = in.take<std::uint64_t>();
  const auto rows = in.take<std::uint64_t>();
  const auto teams = in.take<std::uint64_t>();
  if (version != 3 || text > in.size() || in.bytes(text) != made_by) return std::nullopt;
  if (rows > in.size() / kRow) return std::nullopt;
  const std::uint64_t left = in.size() - rows * kRow;
  if (left % kTeam != 0 || teams != left / kTeam) return std::nullopt;
  Decoded found;
  for (std::uint64_t i = 0; i < rows; ++i) {
    const auto height = in.take<std::uint64_t>();
    const auto width = in.take<std::uint64_t>();
    const auto plan = in.take<std::array<std::uint32_t, 4>>();
    if (!can(tier, plan)) return std::nullopt;
    put(found, found.plans, std::pair(height, width), plan);
  }
  for (std::uint64_t i = 0; i < teams; ++i) {
    const auto model = in.take<std::uint64_t>();
    const auto threads = in.take<std::uint64_t>();
    if (threads < 1 || threads > 1024) return std::nullopt;
    put(found, found.teams, model, threads);
  }
  return found;
}

void require_same(const tern::backend::KeptTuning& found, const Decoded& wanted) {
  require(found.plans.size() == wanted.plans.size() && found.teams.size() == wanted.teams.size());
  for (const auto& [shape, plan] : found.plans) {
    const auto same = wanted.plans.find({shape.rows, shape.columns});
    require(same != wanted.plans.end());
    const std::array<std::uint32_t, 4> values{static_cast<std::uint32_t>(plan.packing),
                                              plan.read.streams, plan.read.prefetch_bytes,
                                              plan.tile_tokens};
    require(same->second == values);
  }
  for (const auto& [model, threads] : found.teams) {
    const auto same = wanted.teams.find(model);
    require(same != wanted.teams.end() && same->second == threads);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  const auto tiers = tern::kernels::all_tables();
  const KernelTable& tier = *tiers[in.below(tiers.size())];
  const std::string text(in.bytes(in.below(8)));
  const std::string made_by = in.below(8) == 1 ? std::string(in.bytes(in.below(8))) : text;
  Bytes bytes = described(in, text);
  change(in, bytes);
  const auto wanted = decoded(bytes, made_by, tier);
  const auto found = tern::backend::read_tuning(bytes, made_by, tier);
  require(found.ok() == wanted.has_value());
  if (!found) {
    require(!found.error().message.empty());
    return 0;
  }
  require_same(*found, *wanted);
  const Bytes again = tern::backend::tuning_bytes(*found, made_by);
  require(!wanted->ascends || again == bytes);
  const auto read = tern::backend::read_tuning(again, made_by, tier);
  require(read.ok() && *read == *found);
  return 0;
}
