// How well a model predicts a text, in bits a UTF-8 byte.
//
// usage: bench_bits_per_byte MODEL TEXT_FILE [THREADS]
// Windows of the whole context move by half a context; every token is scored once, in the window
// that shows it the most text before it. The text starts after the begin-of-text token. Prints
// "bits <sum> bytes <count> tokens <count>".
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "engine/sequence.h"
#include "kernels/registry.h"
#include "text/tokenizer.h"

namespace {

using tern::text::TokenId;

// Natural logarithm of the probability of `token`.
double log_probability(std::span<const float> logits, TokenId token) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return static_cast<double>(logits[static_cast<std::size_t>(token)]) - largest - std::log(sum);
}

tern::Result<double> nats(const tern::model::Model& model, std::span<const TokenId> tokens) {
  const std::size_t context = model.config().context;
  double total = 0.0;
  std::size_t scored = 1;
  for (std::size_t start = 0; scored < tokens.size(); start += context / 2) {
    const auto window = tokens.subspan(start, std::min(context, tokens.size() - start));
    TERN_ASSIGN(tern::engine::Sequence sequence, tern::engine::Sequence::create(model));
    tern::engine::Sequence::AppendOptions options;
    options.every_logit = [&](std::uint32_t position, std::span<const float> logits) {
      if (start + position + 1 < scored) return;
      total -= log_probability(logits, window[position + 1]);
    };
    TERN_TRY(sequence.append(window.first(window.size() - 1), options));
    scored = start + window.size();
  }
  return total;
}

tern::Result<int> measure(const std::string& path, const std::string& text, std::uint32_t threads) {
  tern::backend::CpuBackend backend(tern::kernels::best_table(tern::detect_cpu_features()),
                                    threads);
  TERN_ASSIGN(tern::format::GgufFile file, tern::format::GgufFile::open(path));
  TERN_ASSIGN(const tern::text::Tokenizer tokenizer, tern::text::Tokenizer::from_gguf(file));
  TERN_ASSIGN(const tern::model::Model model, tern::model::Model::load(std::move(file), backend));
  const auto tokens = tokenizer.encode(text, {.add_bos = true});
  TERN_ASSIGN(const double sum, nats(model, tokens));
  std::printf("bits %.1f bytes %zu tokens %zu\n", sum / std::log(2.0), text.size(),
              tokens.size() - 1);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_bits_per_byte MODEL TEXT_FILE [THREADS]\n");
    return 2;
  }
  std::ifstream file(argv[2], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto threads = argc > 3 ? static_cast<std::uint32_t>(std::atoi(argv[3])) : 2;
  const auto outcome = measure(argv[1], text, threads);
  if (!outcome) std::fprintf(stderr, "%s\n", outcome.error().to_string().c_str());
  return outcome ? *outcome : 1;
}
