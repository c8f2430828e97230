#include "backend/cpu/tuning.h"

#include <bit>
#include <cstring>

#include "core/cpu_features.h"
#include "core/fast_hash.h"

namespace tern::backend {
namespace {

// Another meaning of the rows, or kernels that read otherwise, are another version.
constexpr std::uint64_t kVersion = 3;
constexpr std::uint64_t kMostThreads = 1024;
constexpr std::uint32_t kMostPrefetchBytes = 1u << 20;

// The bytes: a Head, the text, the rows, the teams, and the hash of all before it.
struct Head {
  std::uint64_t version;
  std::uint64_t text_bytes;
  std::uint64_t rows;
  std::uint64_t teams;
};

struct Row {
  std::uint64_t rows;
  std::uint64_t columns;
  std::uint32_t packing;
  std::uint32_t streams;
  std::uint32_t prefetch_bytes;
  std::uint32_t tile_tokens;
};

struct Team {
  std::uint64_t model;  // the hash of its shapes
  std::uint64_t threads;
};

Error malformed(std::string message) {
  return Error{ErrorCode::kMalformed, std::move(message), "tuning"};
}

template <typename T>
T take(std::span<const std::byte>& from) {  // where there are that many
  T value;
  std::memcpy(&value, from.data(), sizeof value);
  from = from.subspan(sizeof value);
  return value;
}

Result<MatrixPlan> plan_of(const Row& row, const kernels::KernelTable& table) {
  const MatrixPlan plan{static_cast<kernels::Packing>(row.packing),
                        {row.streams, row.prefetch_bytes, default_plan(table).read.second_cache},
                        row.tile_tokens};
  const bool whole = static_cast<std::uint32_t>(plan.packing) == row.packing;
  if (whole && supports(table, plan)) return plan;
  return malformed("expected what the tier " + std::string(table.name) + " can, found packing " +
                   std::to_string(row.packing) + ", " + std::to_string(row.streams) + " streams, " +
                   std::to_string(row.prefetch_bytes) + " bytes of prefetch, tile registers from " +
                   std::to_string(row.tile_tokens) + " rows on");
}

}  // namespace

bool operator==(const MatrixPlan& a, const MatrixPlan& b) {
  return a.packing == b.packing && a.read.streams == b.read.streams &&
         a.read.prefetch_bytes == b.read.prefetch_bytes &&
         a.read.second_cache == b.read.second_cache && a.tile_tokens == b.tile_tokens;
}

std::string_view name(kernels::Packing packing) {
  return packing == kernels::Packing::kFiveTrits ? "five-trits" : "two-bits";
}

MatrixPlan default_plan(const kernels::KernelTable& table) {
  static const bool second_cache = fetches_into_second_cache();
  return {table.packing, {table.read.streams, table.read.prefetch_bytes, second_cache}};
}

bool supports(const kernels::KernelTable& table, const MatrixPlan& plan) {
  const bool packing = plan.packing == kernels::Packing::kTwoBits ||
                       (plan.packing == kernels::Packing::kFiveTrits && table.five_trits);
  const bool tiles =
      plan.tile_tokens == 0 || (table.tile_tokens != 0 && std::has_single_bit(plan.tile_tokens) &&
                                plan.tile_tokens > 1 && plan.tile_tokens <= kMostTileTokens);
  return packing && tiles && std::has_single_bit(plan.read.streams) &&
         plan.read.streams <= kernels::kMostStreams &&
         plan.read.prefetch_bytes <= kMostPrefetchBytes;
}

MatrixPlan plan_for(const Tuning& tuning, const format::Tensor& tensor,
                    const kernels::KernelTable& table) {
  const auto found = tuning.find({tensor.rows(), tensor.columns()});
  return found == tuning.end() ? default_plan(table) : found->second;
}

std::vector<std::byte> tuning_bytes(const KeptTuning& tuning, std::string_view made_by) {
  const Head head{kVersion, made_by.size(), tuning.plans.size(), tuning.teams.size()};
  std::vector<std::byte> bytes(sizeof head + made_by.size() + tuning.plans.size() * sizeof(Row) +
                               tuning.teams.size() * sizeof(Team) + sizeof(std::uint64_t));
  std::byte* at = bytes.data();
  const auto put = [&at](const void* from, std::size_t size) {
    std::memcpy(at, from, size);
    at += size;
  };
  put(&head, sizeof head);
  put(made_by.data(), made_by.size());
  for (const auto& [shape, plan] : tuning.plans) {
    const Row row{shape.rows,
                  shape.columns,
                  static_cast<std::uint32_t>(plan.packing),
                  plan.read.streams,
                  plan.read.prefetch_bytes,
                  plan.tile_tokens};
    put(&row, sizeof row);
  }
  for (const auto& [model, threads] : tuning.teams) {
    const Team team{model, threads};
    put(&team, sizeof team);
  }
  const std::uint64_t hash =
      fast_hash(std::span(bytes).first(bytes.size() - sizeof(std::uint64_t)));
  put(&hash, sizeof hash);
  return bytes;
}

Result<KeptTuning> read_tuning(std::span<const std::byte> bytes, std::string_view made_by,
                               const kernels::KernelTable& table) {
  if (bytes.size() < sizeof(Head) + sizeof(std::uint64_t)) return malformed("it is cut short");
  std::span<const std::byte> end = bytes.last(sizeof(std::uint64_t));
  bytes = bytes.first(bytes.size() - end.size());
  if (take<std::uint64_t>(end) != fast_hash(bytes)) return malformed("it is damaged");
  const Head head = take<Head>(bytes);
  if (head.version != kVersion) {
    return malformed("expected version " + std::to_string(kVersion) + ", found " +
                     std::to_string(head.version));
  }
  std::uint64_t left = bytes.size();
  const auto holds = [&left](std::uint64_t count, std::uint64_t size) {
    if (count > left / size) return false;
    left -= count * size;
    return true;
  };
  if (!holds(head.text_bytes, 1) || !holds(head.rows, sizeof(Row)) ||
      !holds(head.teams, sizeof(Team)) || left != 0) {
    return malformed("its size is not what its head says");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), head.text_bytes);
  if (text != made_by) {
    return malformed("expected one made by " + std::string(made_by) + ", found one made by " +
                     std::string(text));
  }
  bytes = bytes.subspan(head.text_bytes);
  KeptTuning tuning;
  for (std::uint64_t i = 0; i < head.rows; ++i) {
    const Row row = take<Row>(bytes);
    TERN_ASSIGN(const MatrixPlan plan, plan_of(row, table));
    tuning.plans.insert_or_assign({row.rows, row.columns}, plan);
  }
  for (std::uint64_t i = 0; i < head.teams; ++i) {
    const Team team = take<Team>(bytes);
    if (team.threads == 0 || team.threads > kMostThreads) {
      return malformed("expected 1 to " + std::to_string(kMostThreads) + " threads, found " +
                       std::to_string(team.threads));
    }
    tuning.teams.insert_or_assign(team.model, static_cast<std::uint32_t>(team.threads));
  }
  return tuning;
}

}  // namespace tern::backend
