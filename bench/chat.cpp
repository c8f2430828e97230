// How long a conversation of 100 kB takes from messages to tokens: the chat template and the
// tokenizer.
//
// usage: bench_chat VOCABULARY.gguf TEXT_FILE
// Cuts the text into messages of 500 bytes and prints, for each named template, the median
// milliseconds of 15 rounds, and the tokens.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "text/chat_prompt.h"
#include "text/named_templates.h"

namespace {

using namespace tern::text;  // NOLINT: a program of its own

constexpr std::size_t kBytes = 100'000;
constexpr std::size_t kMessage = 500;
constexpr int kRounds = 15;

std::vector<ChatMessage> conversation(const std::string& text) {
  std::vector<ChatMessage> messages;
  for (std::size_t at = 0; at < kBytes; at += kMessage) {
    const bool user = messages.size() % 2 == 0;
    messages.push_back({user ? "user" : "assistant", text.substr(at % text.size(), kMessage)});
  }
  return messages;
}

template <typename Work>
double median_ms(const Work& work) {
  std::vector<double> times;
  for (int i = 0; i < kRounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (!work()) return -1.0;
    const std::chrono::duration<double, std::milli> spent =
        std::chrono::steady_clock::now() - start;
    times.push_back(spent.count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_chat VOCABULARY.gguf TEXT_FILE\n");
    return 2;
  }
  const auto file = tern::format::GgufFile::open(argv[1]);
  const auto tokenizer = file ? Tokenizer::from_gguf(*file) : tern::Result<Tokenizer>(file.error());
  std::ifstream stream(argv[2], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!tokenizer || text.size() < kMessage) {
    std::fprintf(stderr, "%s\n",
                 tokenizer ? "expected a longer text" : tokenizer.error().to_string().c_str());
    return 1;
  }
  const auto messages = conversation(text);
  for (const NamedTemplate& named : named_templates()) {
    const auto chat = ChatTemplate::parse(named.source);
    std::size_t tokens = 0;
    const double all = median_ms([&] {
      const auto prompt = chat_prompt(*chat, *tokenizer, messages);
      tokens = prompt ? prompt->size() : 0;
      return prompt.ok();
    });
    std::printf("%s milliseconds %.3f tokens %zu\n", std::string(named.name).c_str(), all, tokens);
  }
  return 0;
}
