#include "cli/serve_options.h"

#include <arpa/inet.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <map>

#include "cli/chosen_template.h"
#include "cli/in_range.h"
#include "cli/one_of.h"
#include "net/listen.h"

namespace tern::cli {
namespace {

constexpr const char* kAbout =
    "Serve a model over HTTP, in the form of OpenAI's API.\n"
    "It ends with SIGTERM or Ctrl-C. Many clients share each pass over the weights; nobody's "
    "answer\n"
    "depends on who else asks.\n";

constexpr const char* kExamples =
    "Examples:\n"
    "  tern serve -m model.gguf\n"
    "  tern serve -m model.gguf --listen 0.0.0.0:8080 --listen unix:/run/tern.sock\n"
    "  tern serve --make-key alice >> keys.toml && chmod 600 keys.toml\n"
    "  tern serve --api-keys keys.toml\n"
    "  tern serve --config tern.toml --print-config\n"
    "  curl localhost:8080/v1/completions -H 'Content-Type: application/json' \\\n"
    "       -d '{\"prompt\":\"Once upon a time\",\"max_tokens\":40}'\n";

CLI::Option* add_number(CLI::App& parser, const char* name, std::uint32_t& value,
                        std::uint32_t least, const char* about) {
  return parser.add_option(name, value, about)
      ->type_name("N")
      ->check(CLI::Range(least, std::uint32_t{1} << 24).description(""))
      ->capture_default_str();
}

void add_engine_options(CLI::App& parser, ServeOptions& options) {
  add_number(parser, "--parallel", options.sequences, 1,
             "Answers that are computed at once; others wait");
  add_number(parser, "--queue", options.queue, 1,
             "Answers that may wait; more are told to come again (429)");
  add_number(parser, "-c,--ctx-size", options.context, 0,
             "Most tokens of a request, prompt and answer together; 0: what the\n"
             "model was trained for");
  add_number(parser, "--kv-memory", options.kv_mib, 0,
             "MiB for keys and values of all requests; 0: enough for those that\n"
             "are computed at once, but at most half of what is free");
  add_number(parser, "--step-tokens", options.rows, 2, "Most tokens computed in one step");
  add_number(parser, "--prefill-beside", options.beside, 1,
             "Most tokens of prompts in a step in which others wait for their next\n"
             "token");
  parser
      .add_option("--stretch", options.stretch,
                  "How much longer such a step may be because of them: less keeps answers\n"
                  "flowing, more starts new ones sooner")
      ->type_name("X")
      ->check(in_range(1.01, 1000.0))
      ->capture_default_str();
}

// Who may ask, and what is kept of it.
void add_access_options(CLI::App& parser, LiveOptions& live) {
  const auto add = [&](const char* name, auto& value, const char* type, const char* about) {
    return parser.add_option(name, value, about)->type_name(type);
  };
  add("--api-keys", live.api_keys, "FILE",
      "Keys, one of which each request must come with, and their limits; see\n"
      "--make-key. Without it everybody may ask")
      ->check(not_empty);
  add("--tls-cert", live.tls_cert, "FILE",
      "For addresses with https://: the certificate in PEM, and those that\n"
      "vouch for it")
      ->check(not_empty);
  add("--tls-key", live.tls_key, "FILE", "Its private key in PEM, without a passphrase")
      ->check(not_empty);
  add("--cors-origin", live.cors_origins, "ORIGIN",
      "An origin whose web pages may ask, as in https://app.example.com; *: all;\n"
      "can be given repeatedly");
  add("--allowed-hosts", live.allowed_hosts, "HOST",
      "A name, beside localhost and its like, by which this machine may be asked\n"
      "without a key, as a proxy may pass it on; *: any; can be given repeatedly");
  add("--access-log", live.access_log, "FILE",
      "Write a line of JSON for each request, without its content, to a file;\n"
      "-: standard error")
      ->check(not_empty);
  parser.add_flag("--log-prompts", live.log_prompts,
                  "Have what is asked and answered in it as well");
  parser.add_flag("--plain-events", live.plain_events,
                  "Leave the ids of a stream's events out, but for clients whose Accept\n"
                  "names text/event-stream: for programs that take each line for data");
  add("--priority", live.priority, "N",
      "The highest priority that a request may ask for: it goes before others,\n"
      "which can wait for ever. Any may ask for one below 0")
      ->check(CLI::Range(0, 100).description(""))
      ->capture_default_str();
  add_number(parser, "--max-tokens", live.max_tokens, 0,
             "Most tokens of a chat's answer where the request names none; 0: until\n"
             "the context is full");
}

void add_limit_options(CLI::App& parser, LiveOptions& live) {
  add_number(parser, "--max-answer", live.answer, 0,
             "Most tokens of an answer that a request may ask for, and of one that asks\n"
             "for no number; 0: as many as the context has room for");
  add_number(parser, "--answer-time", live.answer_seconds, 0,
             "Seconds of a request, from its head on; an answer ends as it is then, as\n"
             "by deadline_ms; 0: as long as it takes");
  add_number(parser, "--max-connections", live.connections, 1, "Connections at once");
  add_number(parser, "--max-body", live.body_mib, 1, "MiB of a request's body");
  add_number(parser, "--max-bodies", live.bodies_mib, 1,
             "MiB of the bodies of all requests that are not looked at yet or, with\n"
             "--log-prompts, not answered");
  add_number(parser, "--max-head", live.head_kib, 1, "KiB of a request's headers, at most 58")
      ->check(CLI::Range(1u, 58u).description(""));
  add_number(parser, "--max-headers", live.headers, 1, "Headers of a request");
  add_number(parser, "--max-unread", live.unread_mib, 1,
             "MiB of an answer that a client leaves unread before it is cut off");
  add_number(parser, "--max-replies", live.replies_mib, 1,
             "MiB of all whole replies longer than --max-unread that are made or not\n"
             "sent yet");
  add_number(parser, "--head-time", live.head_seconds, 1,
             "Seconds for a request's headers, and for a handshake of TLS");
  add_number(parser, "--body-time", live.body_seconds, 1, "Seconds for a request's body");
  add_number(parser, "--idle-time", live.idle_seconds, 1,
             "Seconds that a connection may wait for its next request");
  add_number(parser, "--write-time", live.write_seconds, 1,
             "Seconds that a client may read nothing of its answer");
  add_number(parser, "--drain", live.drain_seconds, 0,
             "Seconds that running answers have to end after SIGTERM")
      ->check(CLI::Range(0u, 86400u).description(""));
}

Result<void> check_tls(const ServeOptions& options) {
  const LiveOptions& live = options.live;
  std::vector<std::string> addresses = options.listen;
  addresses.push_back(options.admin_listen);
  const bool has_tls = std::any_of(addresses.begin(), addresses.end(), is_https);
  if (live.tls_cert.empty() != live.tls_key.empty()) {
    const bool key = live.tls_key.empty();
    return Error{ErrorCode::kUsage,
                 std::string("expected ") + (key ? "--tls-key" : "--tls-cert") + " beside it",
                 key ? "--tls-cert" : "--tls-key"};
  }
  if (has_tls && live.tls_cert.empty()) {
    return Error{ErrorCode::kUsage, "https:// needs --tls-cert and --tls-key", "--listen"};
  }
  if (!has_tls && !live.tls_cert.empty()) {
    return Error{ErrorCode::kUsage,
                 "expected an address that uses it, as in --listen https://0.0.0.0:8443",
                 "--tls-cert"};
  }
  return {};
}

// "https://app.example.com:8443", as a browser sends it.
bool is_origin(std::string_view text) {
  const std::size_t scheme = text.find("://");
  if (text == "*") return true;
  if (scheme == 0 || scheme == std::string_view::npos) return false;
  const auto wrong = [](char c) {
    return c == '/' || c == '*' || c == '@' || c <= ' ' || c > '~' || (c >= 'A' && c <= 'Z');
  };
  const std::string_view host = text.substr(scheme + 3);
  return !host.empty() && std::none_of(host.begin(), host.end(), wrong);
}

// "tern.example.com" or "fd00::1", which CLI11 has without brackets in any case.
bool is_host(std::string_view text) {
  const auto is_of = [&](std::string_view characters) {
    return text.find_first_not_of(characters) == std::string_view::npos;
  };
  in6_addr v6{};
  const bool is_v6 =
      is_of("0123456789abcdef:.") && ::inet_pton(AF_INET6, std::string(text).c_str(), &v6) == 1;
  return text == "*" || is_v6 ||
         (text.find_first_not_of('.') != std::string_view::npos &&
          is_of("0123456789abcdefghijklmnopqrstuvwxyz-_."));
}

Result<void> check_each(const std::vector<std::string>& values, bool (*is)(std::string_view),
                        const char* option, const std::string& expected) {
  const auto wrong = std::find_if_not(values.begin(), values.end(), is);
  if (wrong == values.end()) return {};
  return Error{ErrorCode::kUsage, "expected " + expected + ", found " + *wrong, option};
}

}  // namespace

CLI::App* add_serve_options(CLI::App& tern, ServeOptions& options) {
  CLI::App* parser = tern.add_subcommand("serve", kAbout);
  parser->footer(kExamples);
  add_model_option(*parser, options.model);
  parser
      ->add_option("--listen", options.listen,
                   "Where: ADDRESS:PORT, [IPV6]:PORT (port 0: a free one), https:// before\n"
                   "them for TLS, or unix:PATH; can be given repeatedly. Without it this\n"
                   "machine alone can connect")
      ->type_name("WHERE")
      ->check(not_empty)
      ->default_str(options.listen.front());
  parser
      ->add_option("--admin-listen", options.admin_listen,
                   "Where /metrics and /ready are, without a key, instead of beside all else")
      ->type_name("WHERE")
      ->check(not_empty);
  const std::map<std::string, std::uint32_t> modes{{"600", 0600}, {"660", 0660}, {"666", 0666}};
  add_one_of(*parser, "--socket-mode", options.socket_mode, modes,
             "Who may connect to unix:PATH: 600, its owner alone; 660, its group, such\n"
             "as a proxy in front; 666, everybody here")
      ->type_name("MODE")
      ->default_str("600");
  parser
      ->add_option("--model-id", options.id,
                   "What requests call the model; without it, its own name")
      ->type_name("NAME")
      ->check(not_empty);
  parser
      ->add_option("--chat-template", options.chat_template,
                   "Instead of the model's own: " + template_choices())
      ->type_name("NAME")
      ->check(not_empty);
  add_pooling_option(*parser, options.pooling);
  add_engine_options(*parser, options);
  add_compute_options(*parser, options.compute);
  add_head_option(*parser, options.head);
  add_cache_option(*parser, options.compute.cache);
  add_tune_option(*parser, options.compute.tune);
  const std::size_t before = parser->get_options().size();
  add_access_options(*parser, options.live);
  add_limit_options(*parser, options.live);
  const std::vector<CLI::Option*> all =
      parser->get_options([](const CLI::Option*) { return true; });
  for (std::size_t i = before; i < all.size(); ++i) all[i]->group(std::string(kLiveGroup));
  return parser;
}

Result<void> check(const ServeOptions& options) {
  const LiveOptions& live = options.live;
  for (const std::string& address : options.listen) {
    TERN_TRY(net::check_address(address));
  }
  if (!options.admin_listen.empty()) {
    TERN_TRY(net::check_address(options.admin_listen));
  }
  TERN_TRY(check_tls(options));
  if (live.log_prompts && live.access_log.empty()) {
    return Error{ErrorCode::kUsage, "expected --access-log beside it", "--log-prompts"};
  }
  if (live.bodies_mib < live.body_mib) {
    return Error{ErrorCode::kUsage, "expected at least as much as --max-body", "--max-bodies"};
  }
  TERN_TRY(
      check_each(live.cors_origins, is_origin, "--cors-origin",
                 "* or an origin in lower case without a path, as in https://app.example.com"));
  return check_each(live.allowed_hosts, is_host, "--allowed-hosts",
                    "* or a name or an address in lower case without a port, as in "
                    "tern.example.com or fd00::1");
}

}  // namespace tern::cli
