#include "convert/packed_plan.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <utility>

#include "arch/gguf_dialect.h"
#include "arch/hf_dialect.h"
#include "arch/hf_writer.h"
#include "convert/plan.h"
#include "convert/pooling.h"
#include "convert/tensor_job.h"
#include "convert/tokenizer_files.h"
#include "core/json.h"
#include "core/sha256.h"
#include "format/float_blocks.h"
#include "format/gguf/fingerprint.h"
#include "format/gguf/gguf_text.h"
#include "format/kernel_config.h"
#include "format/safetensors/safetensors_writer.h"

namespace tern::convert {
namespace {

namespace json = boost::json;
using arch::HfRole;
using format::SafetensorsTensor;
using format::SafetensorsType;
using format::Tensor;
using format::TensorType;
using Kind = TranscodeJob::Kind;

constexpr std::uint64_t kTileBytes = std::uint64_t{1} << 20;

SafetensorsType type_of(const TranscodeJob& job) {
  if (job.kind == Kind::kPacked) return SafetensorsType::kU8;
  if (job.type == TensorType::kF16) return SafetensorsType::kF16;
  return job.type == TensorType::kBF16 ? SafetensorsType::kBF16 : SafetensorsType::kF32;
}

// Keys of the file's own layout, and those that are compared by what they mean.
constexpr std::array<std::string_view, 19> kCompared{"general.architecture",
                                                     "general.file_type",
                                                     "general.alignment",
                                                     "general.quantization_version",
                                                     format::kKernelConfigKey,
                                                     "tokenizer.ggml.model",
                                                     "tokenizer.ggml.pre",
                                                     "tokenizer.ggml.tokens",
                                                     "tokenizer.ggml.scores",
                                                     "tokenizer.ggml.token_type",
                                                     "tokenizer.ggml.merges",
                                                     "tokenizer.ggml.bos_token_id",
                                                     "tokenizer.ggml.eos_token_id",
                                                     "tokenizer.ggml.eot_token_id",
                                                     "tokenizer.ggml.unknown_token_id",
                                                     "tokenizer.ggml.add_bos_token",
                                                     "tokenizer.ggml.add_eos_token",
                                                     "tokenizer.ggml.add_space_prefix",
                                                     "tokenizer.ggml.remove_extra_whitespaces"};

// How convert() reads it.
Result<Plan> read_plan(const Folder& folder, const PackedPlan& plan) {
  ConvertOptions options;
  options.source = &folder;
  options.output = plan.folder / "model.gguf";
  return make_plan(options);
}

class Planner {
 public:
  Planner(const TranscodeOptions& options, const format::GgufFile& file)
      : options_(options), file_(file) {}

  Result<PackedPlan> make() {
    TERN_TRY(check_head_type());
    plan_.folder = options_.output;
    TERN_TRY(make_config());
    for (const arch::HfTensor& tensor : arch::hf_tensors(model_)) TERN_TRY(add(tensor));
    lay_out();
    TERN_TRY(check());
    plan_.fingerprint = fingerprint();
    return std::move(plan_);
  }

 private:
  struct Part {
    SafetensorsTensor tensor;
    TranscodeJob job;
  };

  Result<void> check_head_type() const {
    if (!options_.head || *options_.head == TensorType::kF16) return {};
    return Error{ErrorCode::kUnsupported,
                 "a checkpoint has embedding and head as floats: --head f16, or none for what the "
                 "file has, found " +
                     std::string(name(*options_.head)),
                 options_.output.string()};
  }

  Result<void> make_config() {
    TERN_ASSIGN(config_, arch::read_decoder_config(file_));
    auto written = arch::write_hf_config(config_);
    if (!written) return in_context(file_.source(), std::move(written.error()));
    TERN_TRY(make_tokenizer_files(file_, *written, plan_.files));
    if (config_.pooling) add_pooling_files(*config_.pooling, config_.hidden, plan_.files);
    const std::string& text = plan_.files["config.json"] = json::serialize(*written);
    TERN_ASSIGN(const json::value read, parse_json(text));
    TERN_ASSIGN(model_, arch::read_hf_config(read.get_object(), "config.json"));
    return {};
  }

  Error at(const Tensor& tensor, ErrorCode code, std::string message) const {
    return Error{code, std::move(message),
                 file_.source() + ": tensor " + format::in_quotes(tensor.name)};
  }

  Result<void> add(const arch::HfTensor& shape) {
    const Tensor* tensor = file_.tensor(shape.ours);
    if (tensor == nullptr) {
      return Error{ErrorCode::kMalformed, "the tensor is missing",
                   file_.source() + ": " + shape.ours};
    }
    return shape.role == HfRole::kTernary ? add_linear(shape, *tensor) : add_floats(shape, *tensor);
  }

  Result<void> add_linear(const arch::HfTensor& shape, const Tensor& tensor) {
    TERN_ASSIGN(const TritSource trits, TritSource::open(file_, tensor));
    file_.release(tensor);  // of whose pages finding the scale may have brought in all
    if (trits.rows() % 4 != 0) {
      return at(tensor, ErrorCode::kUnsupported,
                "packed weights have a multiple of 4 rows, found " + std::to_string(trits.rows()));
    }
    SafetensorsTensor scale;
    scale.name = arch::hf_scale_name(shape.theirs);
    scale.shape = {1};
    scale_tensors_.push_back(std::move(scale));
    scales_.push_back(trits.scale());
    Part part;
    part.tensor.shape = {trits.rows() / 4, trits.columns()};
    part.job = {.kind = Kind::kPacked,
                .name = tensor.name,
                .source = &tensor,
                .neighbour_head = shape.neighbour_head};
    part.job.trits.push_back(trits);
    return keep(shape, std::move(part));
  }

  // Floats are copied; what is none becomes f32, by which Tern computes with it, too.
  Result<void> add_floats(const arch::HfTensor& shape, const Tensor& tensor) {
    const bool matrix = shape.role == HfRole::kMatrix;
    const bool is_float = tensor.type == TensorType::kF32 || tensor.type == TensorType::kF16 ||
                          tensor.type == TensorType::kBF16;
    if (format::block_elements(tensor.type) == 0) {
      return at(tensor, ErrorCode::kUnsupported,
                "expected numbers, found " + std::string(name(tensor.type)));
    }
    const float offset = shape.role == HfRole::kNorm ? model_.gain_offset : 0.0f;
    TensorType type = is_float && offset == 0.0f ? tensor.type : TensorType::kF32;
    if (matrix && options_.head) type = *options_.head;
    Part part;
    part.tensor.shape = {tensor.columns()};
    if (matrix) part.tensor.shape.insert(part.tensor.shape.begin(), tensor.rows());
    part.job = {.kind = type == tensor.type && offset == 0.0f ? Kind::kCopy : Kind::kRows,
                .name = tensor.name,
                .source = &tensor,
                .type = type,
                .offset = offset};
    return keep(shape, std::move(part));
  }

  Result<void> keep(const arch::HfTensor& shape, Part part) {
    part.tensor.name = shape.theirs;
    part.tensor.type = type_of(part.job);
    parts_.push_back(std::move(part));
    return {};
  }

  // Scales first, then tensors of falling sizes of an element, so that each is aligned.
  void lay_out() {
    std::ranges::stable_sort(parts_, std::ranges::greater{}, [](const Part& part) {
      return format::element_bytes(part.tensor.type);
    });
    std::vector<SafetensorsTensor> tensors = std::move(scale_tensors_);
    for (Part& part : parts_) tensors.push_back(std::move(part.tensor));
    plan_.head = format::write_safetensors_header(tensors);
    plan_.head.append(reinterpret_cast<const char*>(scales_.data()),
                      scales_.size() * sizeof(float));
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const SafetensorsTensor& tensor = tensors[scales_.size() + i];
      parts_[i].job.begin = tensor.offset;
      parts_[i].job.bytes = tensor.bytes;
      plan_.jobs.push_back(std::move(parts_[i].job));
    }
    plan_.file_bytes = tensors.back().offset + tensors.back().bytes;
  }

  // Reads the folder that will be, and compares.
  Result<void> check() {
    const MadeFolder folder(plan_.folder, plan_.files, plan_.head, plan_.file_bytes);
    auto plan = read_plan(folder, plan_);
    if (!plan) {
      Error error = std::move(plan.error());
      error.message = "the checkpoint could not be read back: " + error.message;
      return error;
    }
    const std::string keys = keys_of(plan->layout.head);
    TERN_ASSIGN(const auto after, format::GgufFile::parse(std::as_bytes(std::span(keys)),
                                                          file_.source() + ", read back"));
    TERN_TRY(check_same_model(plan->model.config));
    TERN_TRY(check_same_tokenizer(file_, after));
    compare_keys(after);
    return {};
  }

  // Both as keys, under one name.
  Result<void> check_same_model(arch::DecoderConfig read) const {
    read.architecture = config_.architecture;
    read.name = config_.name;
    format::GgufWriter before;
    format::GgufWriter now;
    arch::write_decoder_config(config_, before);
    arch::write_decoder_config(read, now);
    TERN_ASSIGN(const auto wanted, before.layout());
    TERN_ASSIGN(const auto found, now.layout());
    if (wanted.head == found.head && read.norms == config_.norms) return {};
    return Error{ErrorCode::kUnsupported,
                 "config.json cannot say this model: it would be read as another one",
                 file_.source()};
  }

  // The head of a GGUF file without its tensors.
  static std::string keys_of(const std::vector<std::byte>& head) {
    std::string keys(reinterpret_cast<const char*>(head.data()), head.size());
    const std::uint64_t none = 0;
    constexpr std::size_t kTensorCount = 8;  // behind magic and version
    std::memcpy(keys.data() + kTensorCount, &none, sizeof none);
    return keys;
  }

  // What the two checks before have compared by its meaning counts as carried.
  void compare_keys(const format::GgufFile& after) {
    const std::string architecture = config_.architecture + ".";
    for (const std::string_view key : file_.keys()) {
      if (key.starts_with(architecture) || std::ranges::find(kCompared, key) != kCompared.end()) {
        continue;
      }
      const format::GgufValue* now = after.find(key);
      if (now == nullptr || *now != *file_.find(key)) plan_.not_carried.emplace_back(key);
    }
  }

  std::string fingerprint() const {
    Sha256 hash;
    const auto add = [&](std::string_view text) { hash.update(std::as_bytes(std::span(text))); };
    add(plan_.head);
    add(format::fingerprint(file_).value_or(""));
    return hash.finish();
  }

  const TranscodeOptions& options_;
  const format::GgufFile& file_;
  arch::DecoderConfig config_;
  arch::HfModel model_;
  std::vector<Part> parts_;
  std::vector<SafetensorsTensor> scale_tensors_;
  std::vector<float> scales_;
  PackedPlan plan_;
};

}  // namespace

Result<PackedPlan> plan_packed(const TranscodeOptions& options, const format::GgufFile& file) {
  return Planner(options, file).make();
}

Result<void> check_packed_identity(const std::string& expected, const PackedPlan& plan,
                                   OutputFile& output, Team& team,
                                   const TranscodeJobs::Progress& progress) {
  const MadeFolder folder(plan.folder, plan.files, output.part());
  TERN_ASSIGN(Plan read, read_plan(folder, plan));
  TensorConverter tensors(read.checkpoint, output, team, kTileBytes);
  const Team::Task nothing = [](std::uint64_t, Scratch&) { return Result<void>(); };
  Certificate certificate;
  std::uint64_t done = 0;
  for (TensorJob& job : read.jobs) {
    if (job.shape.role != HfRole::kTernary) continue;
    MatrixCertificate matrix(job.shape.ours, job.shape.rows, job.shape.columns);
    float scale = 0.0f;
    job.certificate = &matrix;
    job.certificate_scale = &scale;
    TERN_TRY(tensors.certify(job, nothing));
    certificate.add(matrix, scale);
    done += job.source->bytes;
    if (progress) progress(done, plan.file_bytes);
  }
  return compare_certificates(expected, certificate.finish(), output);
}

}  // namespace tern::convert
