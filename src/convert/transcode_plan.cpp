#include "convert/transcode_plan.h"

#include <algorithm>
#include <set>

#include "arch/gguf_dialect.h"
#include "convert/tensor_job.h"
#include "core/sha256.h"
#include "format/float_blocks.h"
#include "format/gguf/fingerprint.h"
#include "format/gguf/gguf_parser.h"
#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

using format::Tensor;
using format::TensorType;
using Kind = TranscodeJob::Kind;

class Planner {
 public:
  Planner(const TranscodeOptions& options, const format::GgufFile& file)
      : options_(options), file_(file) {}

  Result<TranscodePlan> make() {
    TERN_ASSIGN(const arch::DecoderConfig config, arch::read_decoder_config(file_));
    TERN_ASSIGN(const auto linears, linears_of(file_, config));
    TERN_ASSIGN(plan_.tilings, OutputTilings::open(options_.output));
    std::set<std::string> folded;  // scales that their matrices take up
    for (const Tensor* tensor : linears) folded.insert(scale_beside_name(tensor->name));
    for (const Tensor& tensor : file_.tensors()) {
      if (folded.contains(tensor.name)) continue;
      const bool linear = std::ranges::find(linears, &tensor) != linears.end();
      TERN_TRY(linear ? add_linear(tensor) : add_other(tensor));
    }
    TERN_TRY(lay_out());
    plan_.fingerprint = fingerprint();
    return std::move(plan_);
  }

 private:
  Error at(const Tensor& tensor, Error error) const {
    return in_context(file_.source() + ": tensor " + format::in_quotes(tensor.name),
                      std::move(error));
  }

  Result<void> add_linear(const Tensor& tensor) {
    TERN_ASSIGN(TritSource trits, TritSource::open(file_, tensor));
    const bool beside = !format::holds_scale(*options_.ternary, trits.scale());
    auto tiling = plan_.tilings.choose(*options_.ternary, trits.rows(), trits.columns());
    if (!tiling) return at(tensor, std::move(tiling.error()));
    auto encoder = format::TernaryEncoder::create(*options_.ternary, trits.rows(), trits.columns(),
                                                  beside ? 1.0f : trits.scale(), *tiling);
    if (!encoder) return at(tensor, std::move(encoder.error()));
    TranscodeJob job{
        .kind = Kind::kTernary, .name = tensor.name, .source = &tensor, .type = *options_.ternary};
    const float scale = trits.scale();
    file_.release(tensor);  // of whose pages finding the scale may have brought in all
    job.trits.push_back(std::move(trits));
    job.encoder.push_back(std::move(*encoder));
    plan_.jobs.push_back(std::move(job));
    if (!beside) return {};
    ++plan_.scales_beside;
    plan_.jobs.push_back(
        {.kind = Kind::kScale, .name = scale_beside_name(tensor.name), .scale = scale});
    return {};
  }

  Result<void> add_other(const Tensor& tensor) {
    const bool outside = tensor.name == arch::kTokenEmbedding || tensor.name == arch::kOutput;
    TranscodeJob job{
        .kind = Kind::kCopy, .name = tensor.name, .source = &tensor, .type = tensor.type};
    if (outside && options_.head && *options_.head != tensor.type) {
      job.kind = Kind::kRows;
      job.type = *options_.head;
      const std::uint64_t block = format::block_elements(job.type);
      if (format::block_elements(tensor.type) == 0 || tensor.columns() % block != 0) {
        return at(tensor, Error{ErrorCode::kUnsupported,
                                "cannot become " + std::string(name(job.type)) +
                                    ", which holds multiples of " + std::to_string(block) +
                                    " numbers: found rows of " + std::to_string(tensor.columns()) +
                                    " of " + std::string(name(tensor.type)),
                                ""});
      }
    }
    plan_.jobs.push_back(std::move(job));
    return {};
  }

  // As they are, but for those that tell of the type.
  void copy_keys(format::GgufWriter& writer) const {
    constexpr std::string_view kFileType = "general.file_type";
    const bool told = file_.alignment() != format::kGgufDefaultAlignment;  // by the writer
    for (std::size_t i = 0; i < file_.keys().size(); ++i) {
      const std::string_view key = file_.keys()[i];
      if (key == kFileType) writer.set(std::string(key), file_type_of(*options_.ternary));
      if (key == kFileType || key == format::kKernelConfigKey) continue;
      if (key != "general.alignment" || !told) writer.copy(file_.entries()[i]);
    }
    if (file_.find(kFileType) == nullptr) {
      writer.set(std::string(kFileType), file_type_of(*options_.ternary));
    }
  }

  Result<void> lay_out() {
    format::GgufWriter writer(static_cast<std::uint32_t>(file_.alignment()));
    copy_keys(writer);
    plan_.tilings.add_key(writer);
    for (const TranscodeJob& job : plan_.jobs) {
      std::vector<std::uint64_t> shape{1};
      if (job.source != nullptr) {
        shape.assign(job.source->shape.begin(), job.source->shape.begin() + job.source->rank);
      }
      writer.add_tensor(job.name, job.type, shape, format::GgufWriter::Source());
    }
    auto layout = writer.layout();
    if (!layout) return in_context(options_.output.string(), std::move(layout.error()));
    plan_.layout = std::move(*layout);
    for (std::size_t i = 0; i < plan_.jobs.size(); ++i) {
      plan_.jobs[i].begin = plan_.layout.offsets[i];
      plan_.jobs[i].bytes = plan_.layout.sizes[i];
    }
    return {};
  }

  std::string fingerprint() const {
    Sha256 hash;
    hash.update(plan_.layout.head);
    const std::string identity = format::fingerprint(file_).value_or("");
    hash.update(std::as_bytes(std::span(identity)));
    return hash.finish();
  }

  const TranscodeOptions& options_;
  const format::GgufFile& file_;
  TranscodePlan plan_;
};

}  // namespace

Result<TranscodePlan> make_transcode_plan(const TranscodeOptions& options,
                                          const format::GgufFile& file) {
  return Planner(options, file).make();
}

}  // namespace tern::convert
