#include "cli/inspect_facts.h"

#include <algorithm>

#include "arch/footprint.h"
#include "arch/gguf_dialect.h"
#include "backend/cpu/cpu_backend.h"
#include "cli/options.h"
#include "cli/printable.h"
#include "convert/certificate.h"
#include "core/machine.h"
#include "diagnose/measure/read_ceiling.h"
#include "format/ternary_matrix.h"
#include "text/tokenizer.h"

namespace tern::cli {
namespace {

constexpr std::chrono::milliseconds kProbe{1000};

// A head's int8 copy is made, and read in its place, where that saves a quarter.
std::uint64_t copy_bytes(const backend::Backend& backend, const format::Tensor& head) {
  const std::uint64_t copy = backend.head_copy_bytes(head);
  return copy <= head.data.size() / 4 * 3 ? copy : 0;
}

// What the weights take, and what a token reads of them.
void add_weights(const format::GgufFile& file, const arch::DecoderConfig& config,
                 const backend::Backend& backend, Footprint& footprint) {
  const std::string_view head_name = config.tied_embedding ? arch::kTokenEmbedding : arch::kOutput;
  for (const format::Tensor& tensor : file.tensors()) {
    const std::uint64_t made = backend.weight_bytes(tensor);
    const std::uint64_t held = made != 0 ? made : tensor.data.size();
    footprint.weight_bytes += held;
    if (tensor.name == head_name) {
      const std::uint64_t copy = copy_bytes(backend, tensor);
      footprint.weight_bytes += copy;
      footprint.bytes_per_token += copy != 0 ? copy : held;
    } else if (tensor.name != arch::kTokenEmbedding) {
      footprint.bytes_per_token += held;
    }
  }
}

Result<Footprint> measure_footprint(const format::GgufFile& file,
                                    const arch::DecoderConfig& config) {
  TERN_ASSIGN(const kernels::KernelTable* tier, choose_tier(""));
  Footprint footprint;
  footprint.threads = usable_cores();
  TERN_ASSIGN(const auto backend, backend::CpuBackend::create(*tier, footprint.threads));
  add_weights(file, config, *backend, footprint);
  footprint.kv_bytes_per_token = arch::kv_bytes_per_token(config, format::KvType::kF16);
  footprint.kv_bytes = footprint.kv_bytes_per_token * config.context;
  TERN_ASSIGN(const diagnose::ReadCeiling rate,
              diagnose::measure_read_ceiling(
                  std::min(footprint.bytes_per_token, diagnose::kShortReadBuffer),
                  footprint.threads, kProbe));
  const auto bytes = static_cast<double>(footprint.bytes_per_token);
  footprint.bytes_per_second = rate.bytes_per_second;
  footprint.tokens_per_second = rate.bytes_per_second / bytes;
  footprint.tokens_per_second_at_context =
      rate.bytes_per_second / (bytes + static_cast<double>(footprint.kv_bytes));
  return footprint;
}

// What keeps an embedding from being what the model was trained for.
void add_pooling_warnings(const arch::DecoderConfig& config, const text::Tokenizer& tokenizer,
                          std::vector<std::string>& warnings) {
  if (config.pooling != arch::Pooling::kLast) return;
  const auto tokens = tokenizer.encode("");
  if (!tokens.empty() && tokens.back() == tokenizer.eos()) return;
  warnings.push_back(
      "pooling takes the last token, and the file adds no end-of-text token (add_eos_token): if "
      "the model was trained with one, its vectors are others");
}

void add_text_warnings(const format::GgufFile& file, const arch::DecoderConfig* config,
                       std::vector<std::string>& warnings) {
  const auto tokenizer = text::Tokenizer::from_gguf(file);
  if (!tokenizer) {
    warnings.push_back("no text: " + printable(tokenizer.error().to_string()));
    return;
  }
  if (config == nullptr) return;
  if (tokenizer->vocab_size() > config->vocab) {
    warnings.push_back("the vocabulary has " + std::to_string(tokenizer->vocab_size()) +
                       " tokens, but the embedding has rows for " + std::to_string(config->vocab));
  }
  add_pooling_warnings(*config, *tokenizer, warnings);
}

void add_memory_warning(const Footprint& footprint, std::vector<std::string>& warnings) {
  const std::uint64_t needed = footprint.weight_bytes + footprint.kv_bytes;
  const std::uint64_t free = available_memory();
  if (needed <= free) return;
  warnings.push_back("weights, and keys and values of the whole context, need " +
                     std::to_string(needed / 1000000) + " MB; " + std::to_string(free / 1000000) +
                     " MB are free: choose a smaller context (-c)");
}

}  // namespace

Result<InspectFacts> inspect_facts(const format::GgufFile& file, bool quick) {
  InspectFacts facts;
  const auto config = arch::read_decoder_config(file);
  add_text_warnings(file, config ? &*config : nullptr, facts.warnings);
  if (quick) return facts;
  TERN_ASSIGN(facts.survey, diagnose::survey(file, usable_cores()));
  for (const Error& doubt : facts.survey->doubts) {
    facts.warnings.push_back(printable(doubt.to_string()));
  }
  if (!config) return facts;
  TERN_ASSIGN(facts.footprint, measure_footprint(file, *config));
  add_memory_warning(*facts.footprint, facts.warnings);
  return facts;
}

Result<void> add_certificate(const format::GgufFile& file, InspectFacts& facts) {
  TERN_ASSIGN(const auto team, convert::Team::create(usable_cores(), {}));
  TERN_ASSIGN(const convert::Certificate certificate, convert::certify(file, *team));
  facts.certificate = certificate.finish();
  return {};
}

}  // namespace tern::cli
