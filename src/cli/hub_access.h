// The hub as the environment describes it, by the variables that Hugging Face's own tools read.
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>

#include "core/result.h"
#include "hub/aliases.h"
#include "hub/hub.h"

namespace tern::cli {

// $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, else
// ~/.cache/huggingface/hub. Errors: kUsage where none of these is set.
Result<std::filesystem::path> hub_cache_path();

// HF_ENDPOINT, HF_TOKEN or the file that `hf auth login` writes, HF_HUB_OFFLINE, proxies and
// SSL_CERT_FILE. What is tried again goes to standard error. Errors: those of Hub::create, kIo.
Result<std::unique_ptr<hub::Hub>> open_hub(const std::stop_token& stop);

// $XDG_CONFIG_HOME/tern/models.json, else ~/.config/tern/models.json. Errors: those of
// Aliases::open; kUsage where there is no place for it.
Result<hub::Aliases> open_aliases();

}  // namespace tern::cli
