#include "convert/plan.h"

#include <algorithm>
#include <bit>
#include <boost/json/value.hpp>
#include <cmath>
#include <set>

#include "arch/gguf_dialect.h"
#include "convert/float_bits.h"
#include "convert/pooling.h"
#include "convert/tokenizer.h"
#include "core/json.h"
#include "core/sha256.h"
#include "format/float_blocks.h"
#include "format/gguf/gguf_text.h"
#include "text/utf8.h"

namespace tern::convert {
namespace {

namespace json = boost::json;
using arch::HfRole;
using arch::HfTensor;
using arch::HfWeights;
using format::in_quotes;
using format::SafetensorsTensor;
using format::SafetensorsType;
using format::TensorType;

constexpr std::size_t kMostConfig = std::size_t{1} << 20;

class Planner {
 public:
  explicit Planner(const ConvertOptions& options)
      : options_(options), config_source_(options.source->where("config.json")) {}

  Result<Plan> make() {
    TERN_ASSIGN(Plan plan, open());
    TERN_ASSIGN(tilings_, OutputTilings::open(options_.output));
    for (const HfTensor& shape : arch::hf_tensors(plan.model)) {
      TERN_ASSIGN(TensorJob job, plan_tensor(plan, shape));
      plan.jobs.push_back(std::move(job));
    }
    TERN_TRY(check_places(plan));
    TERN_TRY(check_directions(plan));
    TERN_TRY(lay_out(plan));
    plan.fingerprint = fingerprint(plan);
    plan.tilings = tilings_;
    return plan;
  }

 private:
  Result<Plan> open() {
    Plan plan;
    TERN_ASSIGN(plan.checkpoint, format::Checkpoint::open(*options_.source));
    TERN_ASSIGN(config_text_, read_text(*options_.source, "config.json", kMostConfig));
    plan.files.emplace_back("config.json");
    if (options_.source->has(format::kSafetensorsIndex)) {
      plan.files.emplace_back(format::kSafetensorsIndex);
    }
    auto config = parse_json(config_text_);
    if (!config) return in_context(config_source_, std::move(config.error()));
    if (!config->is_object()) {
      return Error{ErrorCode::kMalformed, "expected an object", config_source_};
    }
    config_ = config->get_object();
    TERN_ASSIGN(plan.model, arch::read_hf_config(config_, config_source_));
    TERN_ASSIGN(plan.model.config.pooling, read_pooling(*options_.source, plan.files));
    plan.model.config.name = text::replace_invalid_utf8(options_.source->name());
    return plan;
  }

  Error at(const SafetensorsTensor& tensor, ErrorCode code, std::string message) const {
    return Error{code, std::move(message),
                 options_.source->where("") + ": tensor " + in_quotes(tensor.name)};
  }

  Result<TensorJob> plan_tensor(const Plan& plan, const HfTensor& shape) {
    const format::CheckpointTensor* found = plan.checkpoint.find(shape.theirs);
    if (found == nullptr) {
      return Error{ErrorCode::kMalformed, "the tensor is missing",
                   options_.source->where("") + ": tensor " + in_quotes(shape.theirs)};
    }
    used_.insert(shape.theirs);
    TensorJob job;
    job.shape = shape;
    job.file = found->file;
    job.source = found->tensor;
    job.weights = plan.model.weights;
    job.offset = shape.role == HfRole::kNorm ? plan.model.gain_offset : 0.0f;
    if (shape.role == HfRole::kTernary) {
      TERN_TRY(plan_ternary(plan, job));
    } else {
      job.type = shape.role == HfRole::kMatrix ? options_.head : TensorType::kF32;
      const std::vector<std::uint64_t> one{shape.columns};
      const std::vector<std::uint64_t> two{shape.rows, shape.columns};
      TERN_TRY(check_shape(*job.source, shape.role == HfRole::kMatrix ? two : one));
      TERN_TRY(check_float(*job.source));
    }
    TERN_TRY(check_blocks(job));
    return job;
  }

  Result<void> check_shape(const SafetensorsTensor& tensor,
                           const std::vector<std::uint64_t>& expected) const {
    if (tensor.shape == expected) return {};
    SafetensorsTensor wanted;
    wanted.shape = expected;
    return at(tensor, ErrorCode::kMalformed,
              "expected the shape " + wanted.shape_text() + ", as config.json has it, found " +
                  tensor.shape_text());
  }

  Result<void> check_float(const SafetensorsTensor& tensor) const {
    if (is_float(tensor.type)) return {};
    return at(tensor, ErrorCode::kMalformed,
              "expected F32, F16 or BF16, found " + std::string(name(tensor.type)));
  }

  // Rows of the output's type are whole blocks.
  Result<void> check_blocks(const TensorJob& job) const {
    const std::uint64_t values = job.shape.columns;
    if (job.shape.role == HfRole::kTernary) {
      auto encoder = encoder_of(job, 1.0f);
      if (!encoder) return at(*job.source, encoder.error().code, encoder.error().message);
      return {};
    }
    const std::uint64_t block = format::block_elements(job.type);
    if (values % block == 0) return {};
    return at(*job.source, ErrorCode::kUnsupported,
              std::string(name(job.type)) + " holds multiples of " + std::to_string(block) +
                  " values, and this tensor has " + std::to_string(values) +
                  "; choose another type");
  }

  Result<void> plan_ternary(const Plan& plan, TensorJob& job) {
    job.type = options_.ternary;
    TERN_ASSIGN(job.tiling, tilings_.choose(job.type, job.shape.rows, job.shape.columns));
    const SafetensorsTensor& source = *job.source;
    const std::uint64_t rows = job.shape.rows;
    const bool packed =
        job.weights == HfWeights::kPackedDivide || job.weights == HfWeights::kPackedMultiply;
    if (!packed) {
      if (source.type == SafetensorsType::kU8 && job.weights == HfWeights::kTernaryFloats) {
        return at(source, ErrorCode::kUnsupported,
                  "the weights are packed, and config.json has no quantization_config of them: by "
                  "its scale a linear could divide or multiply");
      }
      job.scale_beside = format::has_f16_scales(job.type);  // whatever it will be found to be
      TERN_TRY(check_float(source));
      return check_shape(source, {rows, job.shape.columns});
    }
    if (source.type != SafetensorsType::kU8) {
      return at(source, ErrorCode::kMalformed,
                "expected packed weights of U8, as quantization_config has it, found " +
                    std::string(name(source.type)));
    }
    if (rows % 4 != 0) {
      return at(
          source, ErrorCode::kMalformed,
          "packed weights have a multiple of 4 rows, config.json gives " + std::to_string(rows));
    }
    TERN_TRY(check_shape(source, {rows / 4, job.shape.columns}));
    return read_scale(plan, job);
  }

  Result<void> read_scale(const Plan& plan, TensorJob& job) {
    const std::string scale_name = arch::hf_scale_name(job.shape.theirs);
    const format::CheckpointTensor* found = plan.checkpoint.find(scale_name);
    if (found == nullptr) {
      return at(*job.source, ErrorCode::kMalformed,
                "its scale " + in_quotes(scale_name) + " is missing");
    }
    used_.insert(scale_name);
    const SafetensorsTensor& scale = *found->tensor;
    TERN_TRY(check_float(scale));
    if (scale.elements() != 1) {
      return at(scale, ErrorCode::kUnsupported,
                "expected one scale a matrix, found " + std::to_string(scale.elements()) +
                    "; scales of rows or groups are not supported: quantise the master weights "
                    "anew, with one scale a matrix");
    }
    std::vector<std::byte> bytes(scale.bytes);
    TERN_TRY(plan.checkpoint.files()[found->file].read(scale.offset, bytes));
    float stored = 0.0f;
    widen(scale.type, bytes.data(), 1, &stored);
    if (!(stored > 0.0f) || !std::isfinite(stored)) {
      return at(scale, ErrorCode::kMalformed,
                "expected a scale above zero, found " + std::to_string(stored));
    }
    job.scale = job.weights == HfWeights::kPackedDivide ? 1.0f / stored : stored;
    if (!std::isnormal(job.scale)) {
      return at(scale, ErrorCode::kMalformed,
                "expected a scale that f32 holds with all digits, as it is or inverted, found one "
                "near the end of its range");
    }
    job.scale_beside = !format::holds_scale(job.type, job.scale);
    return {};
  }

  // Every tensor of the checkpoint has a place: one that is passed over may change what the model
  // computes.
  Result<void> check_places(const Plan& plan) const {
    for (const auto& [tensor_name, tensor] : plan.checkpoint.tensors()) {
      if (used_.contains(tensor_name) || arch::is_derived_hf_tensor(tensor_name)) continue;
      std::string why = "the tensor has no place in a " + plan.model.config.architecture +
                        " model of " + std::to_string(plan.model.config.layers) + " blocks";
      if (tensor_name.ends_with(".bias")) why = "biases are not supported";
      if (tensor_name.ends_with("weight_scale")) why = "a scale of weights that are not packed";
      if (tensor_name == "lm_head.weight") {
        why = "config.json ties the head to the embedding, and the checkpoint has a head";
      }
      return at(*tensor.tensor, ErrorCode::kUnsupported, why);
    }
    return {};
  }

  // A multiplicative scale is about the mean magnitude of trained weights, its inverse well
  // above 1.
  Result<void> check_directions(const Plan& plan) const {
    std::vector<float> scales;
    for (const TensorJob& job : plan.jobs) {
      if (job.scale > 0.0f) scales.push_back(job.scale);
    }
    if (scales.empty()) return {};
    const auto middle = scales.begin() + static_cast<std::ptrdiff_t>(scales.size() / 2);
    std::nth_element(scales.begin(), middle, scales.end());
    if (*middle <= 1.0f) return {};
    const bool divides = plan.model.weights == HfWeights::kPackedDivide;
    return Error{
        ErrorCode::kMalformed,
        "weights would be multiplied by " + std::to_string(*middle) +
            " (the median), expected at most 1: the weight_scale contradicts linear_class '" +
            (divides ? "bitlinear', by which layers divide"
                     : "autobitlinear', by which layers multiply"),
        options_.source->where("") + ": weight_scale"};
  }

  Result<void> lay_out(Plan& plan) {
    format::GgufWriter writer;
    const auto no_bytes = format::GgufWriter::Source();
    arch::write_decoder_config(plan.model.config, writer);
    writer.set("general.file_type", file_type_of(options_.ternary));
    tilings_.add_key(writer);
    TERN_TRY(add_tokenizer(*options_.source, config_, plan.model.config.vocab, writer, plan.files));
    for (const TensorJob& job : plan.jobs) {
      std::vector<std::uint64_t> shape{job.shape.columns};
      if (job.shape.role == HfRole::kMatrix || job.shape.role == HfRole::kTernary) {
        shape.push_back(job.shape.rows);
      }
      writer.add_tensor(job.shape.ours, job.type, shape, no_bytes);
    }
    for (const TensorJob& job : plan.jobs) {
      if (!job.scale_beside) continue;
      writer.add_tensor(scale_beside_name(job.shape.ours), TensorType::kF32, {1}, no_bytes);
    }
    plan.rope_factors = plan.model.rope_factors;
    if (!plan.rope_factors.empty()) {
      writer.add_tensor(std::string(arch::kRopeFactors), TensorType::kF32,
                        {plan.rope_factors.size()}, no_bytes);
    }
    auto layout = writer.layout();
    if (!layout) return in_context(options_.output.string(), std::move(layout.error()));
    plan.layout = std::move(*layout);
    std::size_t beside = plan.jobs.size();
    for (std::size_t i = 0; i < plan.jobs.size(); ++i) {
      plan.jobs[i].begin = plan.layout.offsets[i];
      plan.jobs[i].bytes = plan.layout.sizes[i];
      if (plan.jobs[i].scale_beside) plan.jobs[i].scale_begin = plan.layout.offsets[beside++];
    }
    if (!plan.rope_factors.empty()) plan.rope_begin = plan.layout.offsets.back();
    return {};
  }

  std::string fingerprint(const Plan& plan) const {
    Sha256 hash;
    const auto add = [&](std::string_view text) { hash.update(std::as_bytes(std::span(text))); };
    hash.update(plan.layout.head);
    add(config_text_);
    for (const format::SafetensorsFile& file : plan.checkpoint.files()) {
      add(file.source().identity() + "\n");
    }
    for (const TensorJob& job : plan.jobs) {  // what a server said before its bytes are all proved
      const auto scale = std::bit_cast<std::uint32_t>(job.scale);
      add(std::to_string(job.file) + " " + std::to_string(job.source->offset) + " " +
          std::to_string(scale) + "\n");
    }
    return hash.finish();
  }

  const ConvertOptions& options_;
  std::string config_source_;
  std::string config_text_;
  json::object config_;
  std::set<std::string, std::less<>> used_;
  OutputTilings tilings_;
};

}  // namespace

Result<Plan> make_plan(const ConvertOptions& options) { return Planner(options).make(); }

}  // namespace tern::convert
