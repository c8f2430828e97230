// Where a plan runs. A backend owns weights in its own layout, KV memory and workspaces; it knows
// nothing of models, text or sampling.
//
// Thread safety: load_* before the first submit; after that one submit at a time. Weights, caches
// and workspaces belong to the backend that made them, which must outlive them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "backend/plan.h"
#include "core/gumbel.h"
#include "core/result.h"
#include "format/kv_type.h"
#include "format/tensor.h"

namespace tern::backend {

// Keys and values of one sequence, in pages of a KvPool that go back to it with the cache;
// positions are absolute. Which pages they are changes no result.
class KvCache {
 public:
  virtual ~KvCache() = default;
  // Makes room for `tokens` positions, or takes no page. Errors: kOutOfMemory, also where the pool
  // has too few free pages.
  virtual Result<void> reserve(std::uint32_t tokens) = 0;
  virtual std::uint32_t pages() const = 0;  // that it has
  // Makes room for `tokens` positions and has all positions hold pseudo-random keys and values, the
  // same each time: to measure a long sequence without computing it. Errors: kOutOfMemory.
  virtual Result<void> fill(std::uint32_t tokens) = 0;
};

// Memory for the keys and values of any number of sequences, taken from the system as it is needed.
// Belongs to one thread at a time, together with its caches, and outlives them.
class KvPool {
 public:
  static constexpr std::uint32_t kPageTokens = 32;
  static constexpr std::uint32_t pages_for(std::uint32_t tokens) {
    return tokens / kPageTokens + (tokens % kPageTokens != 0);
  }

  virtual ~KvPool() = default;
  virtual std::uint32_t pages() const = 0;  // in all
  virtual std::uint32_t free_pages() const = 0;
  virtual std::unique_ptr<KvCache> make_cache() = 0;

  // Errors: kOutOfMemory where fewer pages are free.
  Result<void> require(std::size_t count) const {
    if (count <= free_pages()) return {};
    return Error{ErrorCode::kOutOfMemory,
                 "expected " + std::to_string(count) + " free pages of " +
                     std::to_string(kPageTokens) + " tokens, found " +
                     std::to_string(free_pages()) + " of " + std::to_string(pages()),
                 "KV pool"};
  }
};

// The slots of a plan for up to so many rows.
class Workspace {
 public:
  virtual ~Workspace() = default;
};

struct BatchRow {
  std::int32_t token;
  std::uint32_t position;
  KvCache* cache;  // has room for `position`; those of one sequence ascend
};

struct TokenLogit {
  std::int32_t token;
  float logit;
};

// Asks for the largest logits of a row instead of all. What comes back holds each of the `count`
// largest logits of the tokens that are neither in `always` nor in `masked` (among equals those of
// the lowest tokens), and all of `always`; each exactly as a request for all logits would give it.
// With `draw`, those that are the largest when it has perturbed them.
struct TopQuery {
  static constexpr std::uint32_t kMostCount = 256;

  std::uint32_t row;     // of the batch
  std::uint32_t count;   // 1 to kMostCount
  std::uint32_t tokens;  // rows of the head that are tokens: padding beyond them is left out
  // Ascending: tokens whose logits the caller changes, so that none can be left; and tokens that
  // are left out, also where `always` has them.
  std::span<const std::int32_t> always;
  std::span<const std::int32_t> masked;
  std::optional<GumbelDraw> draw;
  std::span<TokenLogit> candidates;  // room for `tokens`; ascending by token
  std::size_t found = 0;             // written: how many rows of the head were computed exactly
};

// Asks for all logits of a row.
struct LogitQuery {
  std::uint32_t row;        // of the batch
  std::span<float> logits;  // [vocab], written
};

// Asks for the hidden state of a row: what the head is given.
struct HiddenQuery {
  std::uint32_t row;        // of the batch
  std::span<float> hidden;  // room for one row, written
};

// Rows of any number of sequences. Those of one sequence stand together; none sees rows of another.
struct Batch {
  std::span<const BatchRow> rows;
  std::span<const LogitQuery> logits = {};
  std::span<TopQuery> tops = {};
  std::span<const HiddenQuery> hidden = {};
  // Of each row, written where it fails: then that is not submit()'s error, and the rows of other
  // sequences are as if it were not there. Empty: not wanted.
  std::span<std::optional<Error>> failures = {};
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;  // "cpu"
  virtual std::string_view tier() const = 0;  // "avx2"
  virtual std::uint32_t threads() const = 0;

  // Float matrices borrow the tensor's bytes: the file must outlive them. Of ternary matrices and
  // vectors the backend keeps its own copy, so their bytes may be released.
  // Errors: kUnsupported for a type or shape that the backend cannot compute with, kOutOfMemory.
  virtual Result<WeightId> load_ternary(const format::Tensor& tensor) = 0;
  virtual Result<WeightId> load_matrix(const format::Tensor& tensor) = 0;  // for kEmbed and kHead
  virtual Result<WeightId> load_vector(const format::Tensor& tensor) = 0;  // for kNorm

  // Whether load_ternary, or copy_head of what load_matrix made of the tensor, reads all of its
  // bytes: not where what they made of them earlier is at hand.
  virtual bool reads(const format::Tensor& tensor) const = 0;

  // Bytes that loading the tensor allocates; 0 where its bytes are borrowed and must stay.
  virtual std::uint64_t weight_bytes(const format::Tensor& tensor) const = 0;

  // Bytes of weights that a decoded token reads, in the layouts that the backend keeps them in.
  virtual std::uint64_t bytes_per_token(const Plan& plan) const = 0;
  // Makes the copy of a loaded matrix by which kHead answers a TopQuery without reading the whole
  // matrix; without it, it reads it all. Errors: kOutOfMemory; kUnsupported where head_copy_bytes
  // is 0; kProofFailed where a copy from a cache is not that of the matrix.
  virtual Result<void> copy_head(WeightId head) = 0;
  // Bytes that copy_head allocates, and of which each TopQuery reads all; 0 where there is no copy.
  virtual std::uint64_t head_copy_bytes(const format::Tensor& tensor) const = 0;
  // The first element (row * columns + column) of a loaded ternary tensor whose code means nothing,
  // looked for while its bytes are read to be packed. None of a weight that came from a cache,
  // which keeps only what was proved when the same file was loaded.
  virtual std::optional<std::uint64_t> invalid_element(WeightId weight) const = 0;

  virtual bool supports(const Op& op) const = 0;

  virtual std::unique_ptr<KvPool> make_pool(const Plan& plan, format::KvType type,
                                            std::uint32_t pages) = 0;
  // Bytes that make_workspace allocates, and that a pool does until so many pages are taken.
  virtual std::uint64_t workspace_bytes(const Plan& plan, std::uint32_t rows) const = 0;
  virtual std::uint64_t pool_bytes(const Plan& plan, format::KvType type,
                                   std::uint32_t pages) const = 0;
  // Errors: kOutOfMemory.
  virtual Result<std::unique_ptr<Workspace>> make_workspace(const Plan& plan,
                                                            std::uint32_t rows) = 0;

  // Runs the plan over the batch and returns when the logits are there. Errors: kNumeric, naming
  // layer and position, for a NaN, an infinity, or a value beyond the KV type: the first one in the
  // order of the plan, then of the rows.
  virtual Result<void> submit(const Plan& plan, const Batch& batch, Workspace& workspace) = 0;

  // y[t][r] = row first_row + r of a ternary weight times quantise(x[t]), for y.size() / tokens
  // rows: the arithmetic of kQuantize and kTernaryLinear alone, as submit() does it, for proofs.
  // Any number of threads may call it at once. Errors: kNumeric.
  virtual Result<void> ternary_rows(WeightId weight, std::uint64_t first_row, std::size_t tokens,
                                    std::span<const float> x, std::span<float> y) = 0;
};

}  // namespace tern::backend
