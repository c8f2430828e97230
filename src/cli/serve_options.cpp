#include "cli/serve_options.h"

#include <CLI/CLI.hpp>
#include <limits>

#include "cli/chosen_template.h"

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
    "  curl localhost:8080/v1/chat/completions -d '{\"messages\":[{\"role\":\"user\",\n"
    "       \"content\":\"Hello\"}]}' -H 'Content-Type: application/json'\n";

void add_number(CLI::App& parser, const char* name, std::uint32_t& value, std::uint32_t least,
                const char* about) {
  parser.add_option(name, value, about)
      ->type_name("N")
      ->check(CLI::Range(least, std::uint32_t{1} << 24).description(""))
      ->capture_default_str();
}

void add_engine_options(CLI::App& parser, ServeOptions& options) {
  add_number(parser, "--parallel", options.sequences, 1,
             "Requests that are computed at once; others wait");
  add_number(parser, "--queue", options.queue, 1,
             "Requests that may wait; more are told to come again (429)");
  parser
      .add_option("--priority", options.priority,
                  "The highest priority that a request may ask for: it goes before others,\n"
                  "which can wait for ever")
      ->type_name("N")
      ->check(CLI::Range(-100, 100).description(""))
      ->capture_default_str();
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
      ->check(CLI::Range(1.01, 1000.0).description(""))
      ->capture_default_str();
  add_number(parser, "--max-tokens", options.max_tokens, 0,
             "Most tokens of a chat's answer where the request names none; 0: until\n"
             "the context is full");
}

}  // namespace

CLI::App* add_serve_options(CLI::App& tern, ServeOptions& options) {
  CLI::App* parser = tern.add_subcommand("serve", kAbout);
  parser->footer(kExamples);
  add_model_option(*parser, options.model);
  parser
      ->add_option("--listen", options.listen,
                   "Where: ADDRESS:PORT, [IPV6]:PORT (port 0: a free one) or unix:PATH;\n"
                   "can be given repeatedly. Without it this machine alone can connect")
      ->type_name("WHERE")
      ->capture_default_str();
  parser
      ->add_option("--model-id", options.id,
                   "What requests call the model; without it, its own name")
      ->type_name("NAME");
  parser
      ->add_option("--chat-template", options.chat_template,
                   "Instead of the model's own: " + template_choices())
      ->type_name("NAME");
  add_pooling_option(*parser, options.pooling);
  add_engine_options(*parser, options);
  parser
      ->add_option("--drain", options.drain_seconds,
                   "Seconds that running answers have to end after SIGTERM")
      ->type_name("N")
      ->check(CLI::Range(std::uint32_t{0}, std::uint32_t{86400}).description(""))
      ->capture_default_str();
  parser
      ->add_option("--access-log", options.access_log,
                   "Write a line of JSON for each request, without its content, to a file;\n"
                   "-: standard error")
      ->type_name("FILE");
  add_compute_options(*parser, options.compute);
  add_head_option(*parser, options.head);
  add_cache_option(*parser, options.compute.cache);
  add_tune_option(*parser, options.compute.tune);
  return parser;
}

}  // namespace tern::cli
