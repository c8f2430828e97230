// What a server stands on: the model as requests see it, and the engine.
#pragma once

#include <memory>
#include <optional>

#include "cli/chosen_template.h"
#include "cli/runtime.h"
#include "cli/serve_options.h"
#include "core/result.h"
#include "engine/engine.h"
#include "serve/served_model.h"
#include "telemetry/telemetry.h"

namespace tern::cli {

// Runtime and telemetry outlive the engine. Errors: those of Engine::create; kUsage for memory that
// holds no page.
Result<std::unique_ptr<engine::Engine>> make_engine(const Runtime& runtime,
                                                    const ServeOptions& options,
                                                    telemetry::Telemetry& telemetry);

// What --chat-template says, or the model's own, where it has one: not every model can chat.
// Errors: those of choose_template.
Result<std::optional<ChosenTemplate>> chat_template(const format::GgufFile& file,
                                                    const text::Tokenizer& tokenizer,
                                                    const ServeOptions& options);

// Errors: those of choose_template.
Result<serve::ServedModel> make_served_model(const Runtime& runtime, const ServeOptions& options,
                                             const engine::Engine& engine);

}  // namespace tern::cli
