// A decoder that is ready to run: its configuration, its weights in a backend, and the plan that
// computes it. Loaded once, never changed; any number of sequences share it.
//
// A Model keeps the file mapped, since the backend borrows from it. The backend must outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "arch/decoder_config.h"
#include "backend/backend.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "model/self_proof.h"

namespace tern::model {

// How the largest logits are found where they are all that is wanted; the result is the same.
enum class HeadMode {
  kAuto,       // certified where the copy makes the head smaller to read by a quarter, and fits
  kCertified,  // by a scan of an int8 copy and exact logits of the rows that it leaves
  kExact,      // by exact logits of all rows; no copy
};

struct HeadReport {
  bool certified = false;
  std::uint64_t bytes = 0;       // of the matrix
  std::uint64_t copy_bytes = 0;  // 0: no copy
  std::string no_copy_for;       // why kAuto made none that was worth it; empty else
};

struct LoadOptions {
  // The self-proof. Turn it off only for files that were verified before: what it would refuse runs
  // then, and a code 3 in the weights may give other results on another tier.
  bool verify = true;
  HeadMode head = HeadMode::kAuto;
  std::uint64_t available_memory = std::numeric_limits<std::uint64_t>::max();
  // Called after each tensor with the bytes loaded so far and in all.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = nullptr;
};

class Model {
 public:
  // Errors: kMalformed and kUnsupported for the file, kProofFailed for a model that contradicts
  // itself, kOutOfMemory.
  static Result<Model> load(format::GgufFile file, backend::Backend& backend,
                            const LoadOptions& options = {});

  const arch::DecoderConfig& config() const { return config_; }
  const backend::Plan& plan() const { return plan_; }
  backend::Backend& backend() const { return *backend_; }
  const format::GgufFile& file() const { return file_; }

  // Bytes of all tensors in the file, and of those that each decoded token reads in the backend.
  std::uint64_t weight_bytes() const { return weight_bytes_; }
  std::uint64_t bytes_per_token() const { return bytes_per_token_; }
  // The latter where the largest logits are all that is wanted: a certified head reads its copy in
  // place of the matrix, but for the few rows that it computes.
  std::uint64_t search_bytes_per_token() const {
    return head_.certified ? bytes_per_token_ - head_.bytes + head_.copy_bytes : bytes_per_token_;
  }
  const HeadReport& head() const { return head_; }
  // Takes the head out of this process's memory where it has a copy. For who has computed all
  // logits and asks for the largest again: those read few rows, and bring in no pages.
  void release_head() const;
  // What the proof found; `proved` is false where it was not asked for.
  const ProofReport& proof() const { return proof_; }

 private:
  Model(format::GgufFile file, backend::Backend& backend)
      : file_(std::move(file)), backend_(&backend) {}
  const format::Tensor* head_tensor() const;  // nullptr where the file lacks it

  format::GgufFile file_;
  backend::Backend* backend_;
  arch::DecoderConfig config_;
  backend::Plan plan_;
  std::uint64_t weight_bytes_ = 0;
  std::uint64_t bytes_per_token_ = 0;
  HeadReport head_;
  ProofReport proof_;
};

}  // namespace tern::model
