// tern run: continues a prompt. The continuation goes to standard output, all else to standard
// error.
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/progress.h"
#include "cli/run_options.h"
#include "cli/run_report.h"
#include "cli/runtime.h"
#include "core/machine.h"
#include "engine/generate.h"

namespace tern::cli {
namespace {

Result<std::string> prompt_text(const RunOptions& options) {
  if (options.prompt) return *options.prompt;
  TERN_ASSIGN(std::string text, read_all(options.prompt_file));
  if (text.ends_with('\n')) text.pop_back();  // of `echo` and of editors
  return text;
}

// The text as it comes; a failure to write it asks for the end.
class TextWriter {
 public:
  TextWriter(Output& output, Progress& progress, std::stop_source stop)
      : output_(output), progress_(progress), stop_(std::move(stop)) {}

  void write(std::string_view piece) {
    progress_.clear();
    if (!result_ || piece.empty()) return;
    ends_line_ = piece.back() == '\n';
    result_ = output_.write(piece);
    if (!result_) stop_.request_stop();
  }
  // A terminal's next prompt begins on its own line; a pipe gets the text and nothing else.
  Result<void> finish() {
    if (!ends_line_ && output_.is_terminal()) write("\n");
    return result_;
  }

 private:
  Output& output_;
  Progress& progress_;
  std::stop_source stop_;
  bool ends_line_ = true;
  Result<void> result_;
};

// `file` outlives `telemetry`.
Result<void> open_events(const std::string& path, const std::string& model, std::ofstream& file,
                         telemetry::Telemetry& telemetry) {
  if (path.empty()) return {};
  std::error_code ignored;
  if (std::filesystem::equivalent(path, model, ignored)) {
    return Error{ErrorCode::kUsage, "expected a file for the events, found that of the model",
                 path};
  }
  file.open(path, std::ios::binary);
  if (!file) {
    return Error{ErrorCode::kIo,
                 "cannot open for writing: " + std::generic_category().message(errno), path};
  }
  telemetry.add_sink(std::make_unique<telemetry::JsonLinesSink>(file));
  return {};
}

void report_load(const Runtime& runtime, telemetry::Telemetry& telemetry) {
  telemetry.emit({"model.loaded",
                  {{"bytes", runtime.model.weight_bytes()},
                   {"weights", std::string(runtime.cache == "hit" ? "cache" : "packed")},
                   {"cache", runtime.cache},
                   {"seconds", runtime.load_seconds},
                   {"proof_seconds", runtime.model.proof().seconds}}});
}

Result<ExitCode> run(const RunOptions& options, Output& output) {
  TERN_ASSIGN(const std::string prompt, prompt_text(options));
  TERN_ASSIGN(const std::string path, model_path(options.model));
  std::stop_source stop;
  Interrupt interrupt(stop);  // before threads are made
  Progress progress;
  std::ofstream events;
  telemetry::Telemetry telemetry;
  TERN_TRY(open_events(options.events, path, events, telemetry));
  TERN_ASSIGN(const model::HeadMode head, head_mode(options));
  TERN_ASSIGN(const Runtime runtime, load_runtime(path, options.compute, options.verify, head,
                                                  progress, stop.get_token()));
  report_load(runtime, telemetry);
  report_head(runtime.model, progress);

  engine::GenerateRequest request = request_of(options);
  request.answer.ignore_end = options.ignore_end;
  request.prompt = runtime.tokenizer.encode(prompt, {.parse_special = options.parse_special});
  TERN_ASSIGN(engine::Sequence sequence,
              engine::Sequence::create(runtime.model, {options.context, kPrefillChunk,
                                                       available_memory(), options.compute.kv}));
  request.cancel = stop.get_token();
  request.on_prefill = [&](std::size_t done, std::size_t total) {
    progress.show("prefill", done, total);
  };
  TextWriter writer(output, progress, stop);
  if (!options.json) request.on_text = [&](std::string_view piece) { writer.write(piece); };
  progress.show("prefill", 0, request.prompt.size());
  auto generated = engine::generate(sequence, runtime.tokenizer, request, telemetry);
  progress.clear();
  Result<void> written = writer.finish();
  TERN_ASSIGN(const engine::Generation generation, std::move(generated));

  const RunReport report = make_report(runtime, sequence, request.answer.sampling.seed, generation);
  if (options.json) written = output.write(to_json(report, telemetry) + "\n");
  write_stderr(to_line(report) + "\n");
  TERN_TRY(written);
  if (!events) return Error{ErrorCode::kIo, "cannot write the events", options.events};
  return interrupt.happened() ? ExitCode::kInterrupted : ExitCode::kOk;
}

}  // namespace

Command add_run_command(CLI::App& tern) {
  const auto options = std::make_shared<RunOptions>();
  CLI::App* parser = add_run_options(tern, *options);
  return {parser, [options](Output& output) -> Result<ExitCode> {
            TERN_TRY(check(*options));
            return run(*options, output);
          }};
}

}  // namespace tern::cli
