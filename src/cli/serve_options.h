// The options of `tern serve`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"

namespace tern::cli {

// What a running server takes anew at SIGHUP.
struct LiveOptions {
  std::string api_keys;  // a file; empty: everybody may ask
  std::string tls_cert;  // files in PEM
  std::string tls_key;
  std::vector<std::string> cors_origins;
  std::vector<std::string> allowed_hosts;
  int priority = 0;              // the highest that a request may ask for
  std::uint32_t max_tokens = 0;  // of a chat that asks for no number; 0: until the context is full
  std::uint32_t answer = 0;      // most tokens that a request may ask for; 0: any number
  std::uint32_t answer_seconds = 0;  // that a request may take; 0: as long as it takes
  std::uint32_t drain_seconds = 30;
  std::string access_log;  // a file, "-": standard error
  bool log_prompts = false;
  bool plain_events = false;
  std::uint32_t connections = 1024;
  std::uint32_t body_mib = 8;
  std::uint32_t bodies_mib = 256;  // of all requests together
  std::uint32_t head_kib = 16;
  std::uint32_t headers = 100;
  std::uint32_t unread_mib = 4;
  std::uint32_t replies_mib = 256;  // that are or grow longer, of all requests together
  std::uint32_t head_seconds = 10;
  std::uint32_t body_seconds = 30;
  std::uint32_t idle_seconds = 75;
  std::uint32_t write_seconds = 30;
};

struct ServeOptions {
  std::string model;
  ComputeOptions compute;
  model::HeadMode head = model::HeadMode::kAuto;
  std::vector<std::string> listen{"127.0.0.1:8080"};
  std::uint32_t socket_mode = 0600;      // of those of UNIX: who may connect
  std::string admin_listen;              // empty: what is for administrators is where all else is
  std::string id;                        // of the model in requests; empty: its own name
  std::optional<arch::Pooling> pooling;  // of embeddings; else as the file says
  std::string chat_template;             // a name or a file; empty: the model's own
  std::uint32_t sequences = 16;
  std::uint32_t context = 0;  // of a request; 0: what the model was trained for
  std::uint32_t kv_mib = 0;   // for keys and values; 0: a part of what is free
  std::uint32_t queue = 256;
  std::uint32_t rows = 256;
  std::uint32_t beside = 64;
  double stretch = 2.6;
  LiveOptions live;
};

// Each option but those that are not "configurable" is a setting, which a file may have as well
// (serve_config.h). The name of its value in the help says what it is: N a whole number, X a
// number, any other a text.
CLI::App* add_serve_options(CLI::App& tern, ServeOptions& options);

// The group, in the help, of the options that LiveOptions holds.
inline constexpr std::string_view kLiveGroup = "Options that SIGHUP reads again";

// Errors: kUsage for options that contradict each other or are of no use without another, and for
// addresses that are none.
Result<void> check(const ServeOptions& options);

// "https://1.2.3.4:5": through TLS.
inline bool is_https(std::string_view address) { return address.starts_with("https://"); }

}  // namespace tern::cli
