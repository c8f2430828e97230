#include "cli/serve_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/build_info.h"
#include "core/machine.h"
#include "format/gguf/fingerprint.h"
#include "serve/call.h"

namespace tern::cli {
namespace {

// Pages for the requests that are computed at once, within the memory that there is.
Result<std::uint32_t> page_count(const Runtime& runtime, const ServeOptions& options) {
  const std::uint64_t page =
      runtime.backend->pool_bytes(runtime.model.plan(), options.compute.kv, 1);
  if (options.kv_mib != 0) {
    const std::uint64_t pages = (std::uint64_t{options.kv_mib} << 20) / page;
    if (pages > 0) return static_cast<std::uint32_t>(pages);
    return Error{
        ErrorCode::kUsage,
        fmt::format("expected at least {} MiB, found {}", (page >> 20) + 1, options.kv_mib),
        "--kv-memory"};
  }
  const std::uint32_t trained = runtime.model.config().context;
  const std::uint32_t context = options.context == 0 ? trained : options.context;
  const std::uint64_t wanted =
      std::uint64_t{backend::KvPool::pages_for(context)} * options.sequences;
  const std::uint64_t possible = available_memory() / 2 / page;
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(std::min(wanted, possible), 1));
}

// Of what decides the bits of an answer: the program, the file and the type of keys.
std::string fingerprint(const Runtime& runtime, format::KvType kv) {
  return fmt::format("tern-{}-{}-{}", kVersion, kv == format::KvType::kF16 ? "f16" : "int8",
                     format::content_fingerprint(runtime.model.file()).substr(0, 12));
}

std::size_t longest_token(const text::Tokenizer& tokenizer) {
  std::size_t longest = 1;
  for (std::size_t i = 0; i < tokenizer.vocab_size(); ++i) {
    longest = std::max(longest, tokenizer.token_bytes(static_cast<text::TokenId>(i)).size());
  }
  return longest;
}

}  // namespace

Result<std::optional<ChosenTemplate>> chat_template(const format::GgufFile& file,
                                                    const text::Tokenizer& tokenizer,
                                                    const ServeOptions& options) {
  if (options.chat_template.empty() && file.find("tokenizer.chat_template") == nullptr) {
    return std::optional<ChosenTemplate>();
  }
  TERN_ASSIGN(ChosenTemplate chosen, choose_template(options.chat_template, file, tokenizer));
  return std::optional(std::move(chosen));
}

Result<std::unique_ptr<engine::Engine>> make_engine(const Runtime& runtime,
                                                    const ServeOptions& options,
                                                    telemetry::Telemetry& telemetry) {
  TERN_ASSIGN(const std::uint32_t pages, page_count(runtime, options));
  engine::EngineOptions wanted;
  wanted.queue = options.queue;
  wanted.scheduler = {.rows = std::max(options.rows, options.sequences + 1),
                      .beside = options.beside,
                      .stretch = options.stretch,
                      .sequences = options.sequences,
                      .pages = pages,
                      .context = options.context,
                      .available_memory = available_memory(),
                      .kv_type = options.compute.kv};
  return engine::Engine::create(runtime.model, runtime.tokenizer, wanted, telemetry);
}

Result<serve::ServedModel> make_served_model(const Runtime& runtime, const ServeOptions& options,
                                             const engine::Engine& engine) {
  const std::string name = model_name(runtime.model);
  serve::ServedModel model{.id = options.id.empty() ? name : options.id,
                           .also = {name},
                           .model = runtime.model,
                           .tokenizer = runtime.tokenizer,
                           .chat_template = std::nullopt,
                           .fingerprint = fingerprint(runtime, options.compute.kv)};
  model.pooling = options.pooling ? options.pooling : runtime.model.config().pooling;
  model.context = engine.context();
  model.longest_text = std::size_t{model.context} * longest_token(runtime.tokenizer);
  TERN_ASSIGN(std::optional<ChosenTemplate> chosen,
              chat_template(runtime.model.file(), runtime.tokenizer, options));
  if (chosen) {
    model.chat_template = std::move(chosen->chat);
    model.chat_stops = std::move(chosen->stops);
    model.chat_template_sha256 = std::move(chosen->sha256);
  }
  model.created = serve::seconds_since_epoch();
  return model;
}

}  // namespace tern::cli
