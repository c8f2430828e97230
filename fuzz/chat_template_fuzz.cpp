// Any bytes as a chat template, over a few conversations: it ends within its budget, its text is no
// longer than that, what it gives does not depend on the budget that it needed, and a template
// without braces is its own text.
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "check.h"
#include "text/chat_template.h"

namespace {

using tern::ErrorCode;
using tern::Result;
using tern::fuzz::require;
using tern::text::ChatInput;
using tern::text::ChatTemplate;
using tern::text::jinja::Dict;
using tern::text::jinja::List;
using tern::text::jinja::Value;

constexpr tern::text::jinja::Limits kSmall{20'000, 1 << 18, 200};
constexpr tern::text::jinja::Limits kLarge{40'000, 1 << 19, 400};

Value message(const char* role, Value content) {
  return Dict{{{"role", role}, {"content", std::move(content)}}};
}

std::vector<ChatInput> make_inputs() {
  const Value call(
      Dict{{{"id", "c1"}, {"function", Dict{{{"name", "f"}, {"arguments", Dict{{{"x", 1}}}}}}}}});
  const Value part(Dict{{{"type", "text"}, {"text", "caf\xC3\xA9 \xFF"}}});
  const List talk{{message("system", " Be brief.\n"), message("user", "2+2? <b>'\"</b>"),
                   message("assistant", "<think>x</think>4."), message("user", "")}};
  const List calls{
      {message("user", List{{part}}),
       Dict{{{"role", "assistant"}, {"content", Value()}, {"tool_calls", List{{call}}}}},
       Dict{{{"role", "tool"}, {"tool_call_id", "c1"}, {"content", "9"}}}}};
  std::vector<ChatInput> inputs;
  for (const List& messages : {talk, calls, List{}}) {
    ChatInput input;
    input.variables = {{"messages", messages}, {"tools", Value(List{{call}})},
                       {"bos_token", "<s>"},   {"eos_token", "</s>"},
                       {"documents", Value()}, {"add_generation_prompt", true},
                       {"number", 1.5},        {"big", std::int64_t{1} << 62}};
    input.now = std::chrono::system_clock::from_time_t(1'700'000'000);
    inputs.push_back(std::move(input));
  }
  return inputs;
}

Result<std::string> render(const ChatTemplate& made, ChatInput input,
                           const tern::text::jinja::Limits& limits) {
  input.limits = limits;
  auto text = made.render(input);
  if (!text) {
    const ErrorCode code = text.error().code;
    require(code == ErrorCode::kUsage || code == ErrorCode::kOutOfMemory ||
            code == ErrorCode::kMalformed);
    require(!text.error().message.empty());
  } else {
    require(text->size() <= limits.bytes);
  }
  return text;
}

// "\r\n" and "\r" are line breaks, and the last one is none.
std::string own_text(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<ChatInput> inputs = make_inputs();
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto made = ChatTemplate::parse(source);
  if (!made) {
    require(made.error().code == ErrorCode::kMalformed && !made.error().message.empty());
    return 0;
  }
  for (const ChatInput& input : inputs) {
    const auto text = render(*made, input, kSmall);
    const bool spent = !text && text.error().code == ErrorCode::kOutOfMemory;
    if (source.find('{') == std::string_view::npos && !spent) {
      require(text.ok() && *text == own_text(source));
    }
    if (spent) continue;
    const auto again = render(*made, input, kLarge);
    require(text.ok() == again.ok());
    require(text.ok() ? *text == *again : text.error().message == again.error().message);
  }
  return 0;
}
