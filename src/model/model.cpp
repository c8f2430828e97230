#include "model/model.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "arch/gguf_dialect.h"
#include "core/fp_env.h"
#include "core/machine.h"
#include "core/read_ahead.h"
#include "model/decoder_plan.h"

namespace tern::model {
namespace {

using arch::BlockTensor;
using backend::WeightId;
using format::Tensor;

// So much of the file is asked for before its turn: several times what a disk has under way at
// once.
constexpr std::size_t kReadAhead = std::size_t{32} << 20;

constexpr float kMostRopeFactor = 1e6f;  // what only mistakes exceed

// The tensors of which loading reads all bytes, as it comes to them; none of a file in memory.
// Where load_block() goes another way they are not read ahead, and nothing else.
std::vector<const Tensor*> in_order_of_loading(const format::GgufFile& file,
                                               const arch::DecoderConfig& config,
                                               const Tensor* copied_head) {
  std::vector<const Tensor*> order;
  const auto add = [&](const Tensor* tensor) {
    if (tensor != nullptr && tensor->file != nullptr) order.push_back(tensor);
  };
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    using enum BlockTensor;
    for (const BlockTensor role : {kQuery, kKey, kValue, kAttentionOutput, kGate, kUp, kDown}) {
      add(file.tensor(arch::block_tensor_name(layer, role)));
    }
  }
  add(copied_head);
  return order;
}

std::vector<ReadAhead::Part> bytes_of(const std::vector<const Tensor*>& tensors) {
  std::vector<ReadAhead::Part> parts;
  for (const Tensor* tensor : tensors) parts.push_back(tensor->data);
  return parts;
}

// Takes tensors out of the file into the backend, each with the shape that the configuration asks.
class WeightLoader {
 public:
  WeightLoader(const format::GgufFile& file, backend::Backend& backend, const LoadOptions& options,
               std::uint64_t total, std::vector<const Tensor*> order)
      : file_(file),
        backend_(backend),
        options_(options),
        total_(total),
        order_(std::move(order)),
        ahead_(bytes_of(order_), kReadAhead) {}

  Result<WeightId> ternary(std::uint32_t layer, BlockTensor role, std::uint64_t columns,
                           std::uint64_t rows) {
    const std::string name = arch::block_tensor_name(layer, role);
    TERN_ASSIGN(const Tensor* tensor, find(name, columns, rows));
    TERN_ASSIGN(
        const WeightId id,
        loaded(*tensor, with_read_ahead(*tensor, [&] { return backend_.load_ternary(*tensor); })));
    ternaries_.push_back({tensor, id});
    return id;
  }
  Result<WeightId> block_norm(std::uint32_t layer, BlockTensor role, std::uint64_t width) {
    return norm(arch::block_tensor_name(layer, role), width);
  }
  Result<WeightId> norm(std::string_view name, std::uint64_t width) {
    TERN_ASSIGN(const Tensor* tensor, find(name, width, 1));
    return loaded(*tensor, backend_.load_vector(*tensor));
  }
  Result<WeightId> matrix(std::string_view name, std::uint64_t columns, std::uint64_t rows) {
    TERN_ASSIGN(const Tensor* tensor, find(name, columns, rows));
    return loaded(*tensor, backend_.load_matrix(*tensor));
  }

  // They are of the plan, not of the backend.
  Result<std::vector<float>> rope_factors(std::uint64_t count) {
    TERN_ASSIGN(const Tensor* tensor, find(arch::kRopeFactors, count, 1));
    if (tensor->type != format::TensorType::kF32) {
      return Error{ErrorCode::kUnsupported,
                   "expected f32, found " + std::string(format::name(tensor->type)),
                   file_.source() + ": " + tensor->name};
    }
    std::vector<float> factors(count);
    std::memcpy(factors.data(), tensor->data.data(), tensor->data.size());
    for (const float factor : factors) {
      if (factor >= 1.0f && factor <= kMostRopeFactor) continue;
      return Error{ErrorCode::kMalformed,
                   "expected factors from 1 to 1000000, found " + std::to_string(factor),
                   file_.source() + ": " + tensor->name};
    }
    report(tensor->data.size());
    return factors;
  }

  Result<void> head_copy(WeightId head, const Tensor& tensor, std::uint64_t bytes) {
    auto made = with_read_ahead(tensor, [&] { return backend_.copy_head(head); });
    if (!made) return in_context(file_.source(), std::move(made.error()));
    report(bytes);
    return {};
  }

  std::span<const TernaryTensor> ternaries() const { return ternaries_; }

 private:
  Result<const Tensor*> find(std::string_view name, std::uint64_t columns, std::uint64_t rows) {
    const Tensor* tensor = file_.tensor(name);
    if (tensor == nullptr) {
      return Error{ErrorCode::kMalformed, "the tensor is missing",
                   file_.source() + ": " + std::string(name)};
    }
    if (tensor->columns() == columns && tensor->rows() == rows) return tensor;
    const auto shape = [](std::uint64_t c, std::uint64_t r) {
      std::string text = "[";
      text += std::to_string(c) + ", " + std::to_string(r) + "]";
      return text;
    };
    return Error{ErrorCode::kMalformed,
                 "expected shape " + shape(columns, rows) + ", found " +
                     shape(tensor->columns(), tensor->rows()),
                 file_.source() + ": " + std::string(name)};
  }

  // Has the backend make its own copy of a tensor, whose pages then go: of a head that was copied a
  // token reads a few rows from now on.
  template <typename Copy>
  std::invoke_result_t<const Copy&> with_read_ahead(const Tensor& tensor, const Copy& copy) {
    const auto place = std::find(order_.begin(), order_.end(), &tensor);
    if (place == order_.end()) return copy();
    const auto part = static_cast<std::size_t>(place - order_.begin());
    if (backend_.reads(tensor)) ahead_.begin(part);
    auto outcome = copy();
    ahead_.end(part);
    file_.release(tensor);
    return outcome;
  }

  Result<WeightId> loaded(const Tensor& tensor, Result<WeightId> id) {
    if (!id) return in_context(file_.source(), std::move(id.error()));
    report(tensor.data.size());
    return id;
  }

  void report(std::uint64_t bytes) {
    done_ += bytes;
    if (options_.progress) options_.progress(done_, total_);
  }

  const format::GgufFile& file_;
  backend::Backend& backend_;
  const LoadOptions& options_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  std::vector<TernaryTensor> ternaries_;
  std::vector<const Tensor*> order_;
  ReadAhead ahead_;
};

// Of one block.
class BlockLoader {
 public:
  BlockLoader(WeightLoader& load, const arch::DecoderConfig& config, std::uint32_t layer)
      : load_(load), config_(config), layer_(layer) {}

  Result<WeightId> norm(BlockTensor role, std::uint64_t width) {
    return load_.block_norm(layer_, role, width);
  }
  Result<std::optional<WeightId>> optional_norm(bool present, BlockTensor role,
                                                std::uint64_t width) {
    if (!present) return std::optional<WeightId>();
    TERN_ASSIGN(const WeightId id, norm(role, width));
    return std::optional(id);
  }
  Result<LinearWeights> linear(BlockTensor role, BlockTensor input_norm, std::uint64_t columns,
                               std::uint64_t rows) {
    LinearWeights w{};
    TERN_ASSIGN(w.input_norm, optional_norm(config_.norms.projection_input, input_norm, columns));
    TERN_ASSIGN(w.matrix, load_.ternary(layer_, role, columns, rows));
    return w;
  }

 private:
  WeightLoader& load_;
  const arch::DecoderConfig& config_;
  std::uint32_t layer_;
};

Result<BlockWeights> load_block(BlockLoader load, const arch::DecoderConfig& c) {
  BlockWeights w{};
  const std::uint64_t hidden = c.hidden;
  const std::uint64_t query = c.query_width();
  const std::uint64_t kv = c.kv_width();
  const std::uint64_t ffn = c.ffn;
  const arch::BlockNorms& norms = c.norms;
  using enum BlockTensor;
  TERN_ASSIGN(w.attention_norm, load.norm(kAttentionNorm, hidden));
  TERN_ASSIGN(w.query, load.linear(kQuery, kQueryInputNorm, hidden, query));
  TERN_ASSIGN(w.key, load.linear(kKey, kKeyInputNorm, hidden, kv));
  TERN_ASSIGN(w.value, load.linear(kValue, kValueInputNorm, hidden, kv));
  TERN_ASSIGN(w.query_norm, load.optional_norm(norms.query_key, kQueryNorm, c.head_dim));
  TERN_ASSIGN(w.key_norm, load.optional_norm(norms.query_key, kKeyNorm, c.head_dim));
  TERN_ASSIGN(w.attention_sub_norm,
              load.optional_norm(norms.attention_sub, kAttentionSubNorm, query));
  TERN_ASSIGN(w.attention_output,
              load.linear(kAttentionOutput, kAttentionOutputInputNorm, query, hidden));
  TERN_ASSIGN(w.post_attention_norm,
              load.optional_norm(norms.post_attention, kPostAttentionNorm, hidden));
  TERN_ASSIGN(w.ffn_norm, load.norm(kFfnNorm, hidden));
  TERN_ASSIGN(w.gate, load.linear(kGate, kGateInputNorm, hidden, ffn));
  TERN_ASSIGN(w.up, load.linear(kUp, kUpInputNorm, hidden, ffn));
  TERN_ASSIGN(w.ffn_sub_norm, load.optional_norm(norms.ffn_sub, kFfnSubNorm, ffn));
  TERN_ASSIGN(w.down, load.linear(kDown, kDownInputNorm, ffn, hidden));
  TERN_ASSIGN(w.post_ffn_norm, load.optional_norm(norms.post_ffn, kPostFfnNorm, hidden));
  return w;
}

Result<DecoderWeights> load_decoder(WeightLoader& load, const arch::DecoderConfig& config) {
  DecoderWeights weights{};
  TERN_ASSIGN(weights.embedding, load.matrix(arch::kTokenEmbedding, config.hidden, config.vocab));
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    TERN_ASSIGN(BlockWeights block, load_block({load, config, layer}, config));
    weights.blocks.push_back(block);
  }
  TERN_ASSIGN(weights.output_norm, load.norm(arch::kOutputNorm, config.hidden));
  if (config.rope_factors) {
    TERN_ASSIGN(weights.rope_factors, load.rope_factors(config.head_dim / 2));
  }
  weights.head = weights.embedding;
  if (!config.tied_embedding) {
    TERN_ASSIGN(weights.head, load.matrix(arch::kOutput, config.hidden, config.vocab));
  }
  return weights;
}

std::string megabytes(std::uint64_t bytes) { return std::to_string(bytes / 1000000) + " MB"; }

// Whether the head gets a copy. `needed` are the bytes of all weights without it.
HeadReport choose_head(const backend::Backend& backend, const Tensor& head, HeadMode mode,
                       std::uint64_t needed, std::uint64_t available) {
  const std::uint64_t bytes = head.data.size();
  const std::uint64_t copy = backend.head_copy_bytes(head);
  if (mode == HeadMode::kExact) return {false, bytes, 0, ""};
  if (mode == HeadMode::kCertified) return {true, bytes, copy, ""};
  if (copy == 0 || copy > bytes / 4 * 3) return {false, bytes, 0, ""};
  if (needed + copy <= available) return {true, bytes, copy, ""};
  return {false, bytes, 0,
          "its int8 copy needs " + megabytes(copy) + " beside " + megabytes(needed) +
              " of weights; " + megabytes(available) + " are free"};
}

Result<void> require_support(const backend::Backend& backend, const backend::Plan& plan) {
  for (const backend::Op& op : plan.ops) {
    if (backend.supports(op)) continue;
    return Error{ErrorCode::kUnsupported,
                 "operation " + std::to_string(static_cast<int>(op.code)) +
                     " of the model's plan is not supported",
                 "backend " + std::string(backend.name())};
  }
  return {};
}

}  // namespace

Result<Model> Model::load(format::GgufFile file, backend::Backend& backend,
                          const LoadOptions& options) {
  const ScopedFpEnv fp_env;
  Model model(std::move(file), backend);
  TERN_ASSIGN(model.config_, arch::read_decoder_config(model.file_));
  std::uint64_t needed = 0;
  for (const Tensor& tensor : model.file_.tensors()) {
    model.weight_bytes_ += tensor.data.size();
    const std::uint64_t copy = backend.weight_bytes(tensor);
    needed += copy != 0 ? copy : tensor.data.size();
  }
  const Tensor* head = model.head_tensor();
  if (head != nullptr) {  // else load_decoder() names it
    model.head_ = choose_head(backend, *head, options.head, needed, options.available_memory);
  }
  const std::uint64_t copy = model.head_.copy_bytes;
  TERN_TRY(require_memory("weights of " + model.file_.source(), needed + copy,
                          options.available_memory));
  WeightLoader loader(
      model.file_, backend, options, model.weight_bytes_ + copy,
      in_order_of_loading(model.file_, model.config_, model.head_.certified ? head : nullptr));
  TERN_ASSIGN(const DecoderWeights weights, load_decoder(loader, model.config_));
  if (model.head_.certified) TERN_TRY(loader.head_copy(weights.head, *head, copy));
  TERN_ASSIGN(model.plan_, build_decoder_plan(model.config_, weights));
  TERN_TRY(require_support(backend, model.plan_));
  model.bytes_per_token_ = backend.bytes_per_token(model.plan_);
  if (options.verify && model.config_.norms.offset_gains) {
    auto plausible = prove_gains(model.file_);
    if (!plausible) return in_context(model.file_.source(), std::move(plausible.error()));
  }
  if (options.verify) {
    auto proof = prove(model.file_, loader.ternaries(), backend);
    if (!proof) return in_context(model.file_.source(), std::move(proof.error()));
    model.proof_ = *proof;
  }
  return model;
}

void Model::release_head() const {
  if (head_.certified) file_.release(*head_tensor());
}

const Tensor* Model::head_tensor() const {
  return file_.tensor(config_.tied_embedding ? arch::kTokenEmbedding : arch::kOutput);
}

}  // namespace tern::model
