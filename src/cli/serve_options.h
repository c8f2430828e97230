// The options of `tern serve`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"

namespace tern::cli {

struct ServeOptions {
  std::string model;
  ComputeOptions compute;
  model::HeadMode head = model::HeadMode::kAuto;
  std::vector<std::string> listen{"127.0.0.1:8080"};
  std::string id;                        // of the model in requests; empty: its own name
  std::optional<arch::Pooling> pooling;  // of embeddings; else as the file says
  std::string chat_template;             // a name or a file; empty: the model's own
  std::uint32_t sequences = 16;
  std::uint32_t context = 0;  // of a request; 0: what the model was trained for
  std::uint32_t kv_mib = 0;   // for keys and values; 0: a part of what is free
  std::uint32_t queue = 256;
  int priority = 0;  // the highest that a request may ask for
  std::uint32_t rows = 256;
  std::uint32_t beside = 64;
  double stretch = 2.5;
  std::uint32_t max_tokens = 0;  // of a chat that asks for no number; 0: until the context is full
  std::uint32_t drain_seconds = 30;
  std::string access_log;  // a file, "-": standard error
};

CLI::App* add_serve_options(CLI::App& tern, ServeOptions& options);

}  // namespace tern::cli
