#include "text/chat_template.h"

#include <ctime>
#include <vector>

#include "text/jinja/operations.h"
#include "text/jinja/parser.h"

namespace tern::text {
namespace {

constexpr std::string_view kKey = "tokenizer.chat_template";
constexpr std::size_t kLongestTemplate = 1 << 20;

// strftime_now(format): the local time.
jinja::Function clock_function(std::chrono::system_clock::time_point now) {
  return {"strftime_now",
          [now](jinja::Interpreter& interpreter,
                const jinja::Arguments& given) -> Result<jinja::Value> {
            const jinja::Value* format = given.find(0, "format");
            if (format == nullptr || format->string() == nullptr) {
              return jinja::refused("expected a format in strftime_now()");
            }
            const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
            std::tm local{};
            ::localtime_r(&seconds, &local);
            char text[1024];
            const std::size_t size =
                std::strftime(text, sizeof text, format->string()->c_str(), &local);
            if (size == 0 && !format->string()->empty()) {
              return jinja::refused("expected a format of a date below 1024 bytes");
            }
            return interpreter.made(std::string(text, size));
          }};
}

}  // namespace

struct ChatTemplate::Parsed {
  std::vector<jinja::Statement> statements;
};

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  if (source.size() > kLongestTemplate) {
    return Error{ErrorCode::kMalformed,
                 "expected at most " + std::to_string(kLongestTemplate) + " bytes, found " +
                     std::to_string(source.size()),
                 "chat template"};
  }
  auto parsed = std::make_shared<Parsed>();
  TERN_ASSIGN(parsed->statements, jinja::parse(source));
  return ChatTemplate(std::move(parsed));
}

Result<ChatTemplate> ChatTemplate::from_gguf(const format::GgufFile& file) {
  if (file.find(kKey) == nullptr) {
    return Error{ErrorCode::kUsage,
                 "expected a chat template, found no key " + std::string(kKey) +
                     ": the model was not made for conversations, or the file lost it",
                 file.source()};
  }
  TERN_ASSIGN(const std::string_view source, file.get_string(kKey));
  auto made = parse(source);
  if (!made) return in_context(file.source(), std::move(made.error()));
  return made;
}

Result<std::string> ChatTemplate::render(const ChatInput& input) const {
  jinja::Variables globals = jinja::global_functions();
  globals.emplace_back("strftime_now", clock_function(input.now));
  globals.insert(globals.end(), input.variables.begin(), input.variables.end());
  jinja::Interpreter interpreter(input.limits, std::move(globals));
  return interpreter.render(parsed_->statements);
}

}  // namespace tern::text
