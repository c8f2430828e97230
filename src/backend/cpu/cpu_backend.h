// The CPU backend: one KernelTable, one team of threads.
//
// All workers walk the plan's operations together. Operations on rows (norm, quantise, RoPE, ...)
// keep a row on one worker, so between two of them no barrier is needed; matrix products divide
// their output rows, attention its query heads, rows and chunks of keys (attention.h). No division
// changes a result.
#pragma once

#include <deque>
#include <memory>

#include "backend/backend.h"
#include "backend/cpu/tuning.h"
#include "backend/cpu/weights.h"
#include "core/thread_pool.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

class CpuBackend : public Backend {
 public:
  // Throws std::system_error where the threads cannot be started; create() gives an Error instead.
  CpuBackend(const kernels::KernelTable& table, std::uint32_t threads)
      : table_(table), pool_(std::make_unique<ThreadPool>(threads)) {}
  // Errors: kOutOfMemory.
  static Result<std::unique_ptr<CpuBackend>> create(const kernels::KernelTable& table,
                                                    std::uint32_t threads);

  std::string_view name() const override { return "cpu"; }
  std::string_view tier() const override { return table_.name; }
  std::uint32_t threads() const override { return pool_->size(); }

  Result<WeightId> load_ternary(const format::Tensor& tensor) override;
  Result<WeightId> load_matrix(const format::Tensor& tensor) override;
  Result<WeightId> load_vector(const format::Tensor& tensor) override;

  bool reads(const format::Tensor& tensor) const override;
  std::uint64_t weight_bytes(const format::Tensor& tensor) const override;
  std::uint64_t bytes_per_token(const Plan& plan) const override;
  std::optional<std::uint64_t> invalid_element(WeightId weight) const override;

  // Between submits, for who measures it.
  ThreadPool& team() { return *pool_; }

  // How weights are packed here, and in which version: a part of the key of a PackedCache.
  std::string layout() const;
  // What is loaded from now on is taken from the cache where it can be, and kept for it. The cache
  // outlives loading; null: no cache.
  void use_cache(PackedCache* cache) { cache_ = cache; }
  // How what is loaded from now on is packed and read.
  void use_tuning(Tuning tuning) { tuning_ = std::move(tuning); }

  Result<void> copy_head(WeightId head) override;
  std::uint64_t head_copy_bytes(const format::Tensor& tensor) const override;

  bool supports(const Op& op) const override;

  std::unique_ptr<KvPool> make_pool(const Plan& plan, format::KvType type,
                                    std::uint32_t pages) override;
  std::uint64_t workspace_bytes(const Plan& plan, std::uint32_t rows) const override;
  std::uint64_t pool_bytes(const Plan& plan, format::KvType type,
                           std::uint32_t pages) const override;
  Result<std::unique_ptr<Workspace>> make_workspace(const Plan& plan, std::uint32_t rows) override;

  Result<void> submit(const Plan& plan, const Batch& batch, Workspace& workspace) override;

  Result<void> ternary_rows(WeightId weight, std::uint64_t first_row, std::size_t tokens,
                            std::span<const float> x, std::span<float> y) override;

 private:
  CpuBackend(const kernels::KernelTable& table, std::unique_ptr<ThreadPool> pool)
      : table_(table), pool_(std::move(pool)) {}
  WeightId keep(Weight weight);

  const kernels::KernelTable& table_;
  std::unique_ptr<ThreadPool> pool_;
  Arena memory_;  // of packed weights
  std::deque<Weight> weights_;
  PackedCache* cache_ = nullptr;
  Tuning tuning_;
};

}  // namespace tern::backend
