// Feeds any bytes to the readers of what lies beside the weights of a checkpoint: config.json,
// tokenizer.json, tokenizer.model. The first byte chooses the reader.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "arch/hf_dialect.h"
#include "check.h"
#include "convert/vocabulary.h"
#include "core/json.h"

namespace {

using tern::fuzz::require;

void check_vocabulary(const tern::Result<tern::convert::HfVocabulary>& read) {
  if (!read.ok()) {
    require(!read.error().message.empty() && read.error().context.rfind("fuzz", 0) == 0);
    return;
  }
  require(!read->tokens.empty() && read->tokens.size() == read->kinds.size());
  require(read->scores.empty() || read->scores.size() == read->tokens.size());
  for (const auto& id : {read->unknown, read->bos, read->eos, read->pad}) {
    require(!id || *id < read->tokens.size());
  }
}

void read_config(const boost::json::object& object) {
  const auto model = tern::arch::read_hf_config(object, "fuzz");
  if (!model.ok()) return;
  const auto& config = model->config;
  require(config.heads % config.kv_heads == 0 && config.head_dim % 2 == 0);
  require(model->rope_factors.empty() || model->rope_factors.size() == config.head_dim / 2);
  if (config.layers > 8) return;
  const std::size_t linears = 7 * (config.norms.projection_input ? 2 : 1);
  require(tern::arch::hf_tensors(*model).size() >= 2 + config.layers * (linears + 2));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'm') {
    check_vocabulary(tern::convert::read_sentence_piece_model(text, "fuzz"));
    return 0;
  }
  const auto value = tern::parse_json(text);
  if (!value.ok() || !value->is_object()) return 0;
  if (data[0] == 't') {
    check_vocabulary(
        tern::convert::read_tokenizer_json(value->get_object(), {"<s>", "</s>"}, 1u << 16, "fuzz"));
  } else {
    read_config(value->get_object());
  }
  return 0;
}
