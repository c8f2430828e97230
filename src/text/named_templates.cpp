#include "text/named_templates.h"

#include <algorithm>

namespace tern::text {
namespace {

// As BitNet b1.58 2B-4T has it.
constexpr std::string_view kBitnet =
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}";

constexpr std::string_view kChatml =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

constexpr std::string_view kLlama3 =
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim +"
    " '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{% endif %}";

// A transcript. An answer begins with the space that its tokens bring.
constexpr std::string_view kPlain =
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content | trim + '\\n\\n' }}{% else %}"
    "{{ message.role | capitalize + ': ' + message.content | trim + '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

}  // namespace

std::span<const NamedTemplate> named_templates() {
  static const std::vector<NamedTemplate> all{
      {"bitnet", kBitnet, {"<|eot_id|>"}, {}},
      {"chatml", kChatml, {"<|im_start|>", "<|im_end|>"}, {}},
      {"llama3", kLlama3, {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}, {}},
      {"plain", kPlain, {}, {"\nUser:"}}};
  return all;
}

const NamedTemplate* find_named_template(std::string_view name) {
  const auto all = named_templates();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

Result<void> check_tokens(const NamedTemplate& named, const Tokenizer& tokenizer) {
  for (const std::string_view token : named.tokens) {
    if (tokenizer.special_names(token) == std::vector<std::size_t>{0}) continue;
    return Error{ErrorCode::kUsage,
                 "expected a vocabulary with the token " + std::string(token) +
                     ", found one without: the model was not trained with this template",
                 "chat template " + std::string(named.name)};
  }
  return {};
}

}  // namespace tern::text
