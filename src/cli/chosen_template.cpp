#include "cli/chosen_template.h"

#include <filesystem>
#include <utility>

#include "cli/streams.h"
#include "core/sha256.h"
#include "text/named_templates.h"

namespace tern::cli {

std::string template_choices() {
  std::string all;
  for (const auto& named : text::named_templates()) all += std::string(named.name) + ", ";
  return all + "or a file";
}

Result<ChosenTemplate> choose_template(const std::string& wanted, const format::GgufFile& file,
                                       const text::Tokenizer& tokenizer) {
  if (wanted.empty()) {
    auto own = text::ChatTemplate::from_gguf(file);
    if (own) {
      TERN_ASSIGN(const std::string_view source, file.get_string("tokenizer.chat_template"));
      return ChosenTemplate{std::move(*own), "of the model", {}, sha256_of(source)};
    }
    Error error = std::move(own.error());
    if (error.code == ErrorCode::kUsage)
      error.message += "; choose one: --chat-template " + template_choices();
    return error;
  }
  if (const text::NamedTemplate* named = text::find_named_template(wanted)) {
    TERN_TRY(check_tokens(*named, tokenizer));
    TERN_ASSIGN(text::ChatTemplate chat, text::ChatTemplate::parse(named->source));
    return ChosenTemplate{std::move(chat), wanted, named->stops, sha256_of(named->source)};
  }
  if (!std::filesystem::exists(wanted)) {
    return Error{ErrorCode::kUsage,
                 "expected " + template_choices() + ", found no file of that name",
                 "--chat-template " + wanted};
  }
  TERN_ASSIGN(const std::string source, read_all(wanted));
  auto chat = text::ChatTemplate::parse(source);
  if (!chat) return in_context(wanted, std::move(chat.error()));
  return ChosenTemplate{std::move(*chat), wanted, {}, sha256_of(source)};
}

}  // namespace tern::cli
