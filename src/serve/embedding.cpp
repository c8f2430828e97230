#include "serve/embedding.h"

#include <array>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cstring>
#include <utility>

#include "engine/pooler.h"

namespace tern::serve {

namespace json = boost::json;
using engine::EndReason;

namespace {

// Texts of a request that the engine has at once: some to share a step, and few beside those that
// it computes at once, so that one list is not all that it does.
constexpr std::size_t kMostAtOnce = 4;
// Of the reply: a number of a list with its comma, "-1.17549435e-38,"; the head of each vector; and
// what stands around all.
constexpr std::size_t kNumberBytes = 16;
constexpr std::size_t kHeadBytes = 64;
constexpr std::size_t kFrameBytes = 1024;

ApiError too_slow() {
  return {.status = 503,
          .message =
              "the texts were not computed in the time that the request has (deadline_ms, or "
              "the server's answer-time); send fewer at once, or come again later",
          .type = "server_error",
          .code = "overloaded",
          .retry_after = 1};
}

std::string base64(std::span<const float> vector) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<unsigned char> bytes(vector.size_bytes());  // little-endian, as all that Tern runs on
  std::memcpy(bytes.data(), vector.data(), bytes.size());
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) {
      text += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

// With as many digits as bring each number back.
std::string list(std::span<const float> vector) {
  std::string text = "[";
  std::array<char, 32> digits;
  for (const float x : vector) {
    if (text.size() > 1) text += ',';
    text.append(digits.data(), std::to_chars(digits.begin(), digits.end(), x).ptr);
  }
  return text += ']';
}

}  // namespace

Embedding::Embedding(std::shared_ptr<Call> call, const ServedModel& model, engine::Engine& engine,
                     EmbeddingRequest request, Later later)
    : call_(std::move(call)),
      model_(model),
      engine_(engine),
      request_(std::move(request)),
      later_(std::move(later)),
      vectors_(request_.inputs.size()) {}

void Embedding::start() {
  on_gone_.emplace(call_->gone(), [stop = stop_]() mutable { stop.request_stop(); });
  const std::lock_guard lock(mutex_);
  try {
    hand_over();
  } catch (const std::exception& thrown) {
    give_up(thrown);
  }
}

void Embedding::hand_over() {
  call_->note("prompt_tokens", prompt_tokens());
  if (const auto error = call_->reserve(most_bytes())) return call_->fail(*error);
  if (const auto error = call_->open_answers(request_.inputs.size())) return call_->fail(*error);
  if (const auto error = call_->reserve_tokens(prompt_tokens(), prompt_tokens())) {
    return call_->fail(*error);
  }
  submit(false);
}

std::uint64_t Embedding::prompt_tokens() const {
  std::uint64_t tokens = 0;
  for (const auto& input : request_.inputs) tokens += input.size();
  return tokens;
}

// Of the reply, and so of the vectors as well, for each number has more bytes as text; and of the
// tokens, which stay until all are computed.
std::size_t Embedding::most_bytes() const {
  const std::size_t numbers = request_.dimensions;
  const std::size_t one =
      request_.base64 ? (numbers * sizeof(float) + 2) / 3 * 4 : numbers * kNumberBytes;
  return request_.inputs.size() * (one + kHeadBytes) + kFrameBytes +
         prompt_tokens() * sizeof(text::TokenId);
}

// Where the queue has no room for more, the rest waits for those that it has taken.
void Embedding::submit(bool follows) {
  while (submitted_ < request_.inputs.size() && submitted_ - done_ < kMostAtOnce) {
    if (const auto taken = submit_next(std::exchange(follows, false)); !taken) {
      if (taken.error().code == ErrorCode::kOverloaded && submitted_ > done_) return;
      over_ = true;
      stop_.request_stop();
      return turn_away(*call_, engine_, api_error(taken.error(), "input"));
    }
    ++submitted_;
  }
}

Result<void> Embedding::submit_next(bool follows) {
  engine::Request request;
  request.prompt = request_.inputs[submitted_];
  request.pooling = model_.pooling;
  request.priority = request_.priority;
  request.follows = follows;
  request.account = call_->account();
  if (request_.deadline) request.deadline = call_->arrived() + *request_.deadline;
  request.cancel = stop_.get_token();
  request.on_update = [self = shared_from_this(), index = submitted_](const auto& update) {
    self->take(index, update);
  };
  return engine_.submit(std::move(request));
}

// The engine's thread answers others, too: what throws here ends this request alone.
void Embedding::take(std::size_t index, const engine::Update& update) {
  const std::lock_guard lock(mutex_);
  try {
    hear(index, update);
  } catch (const std::exception& thrown) {
    give_up(thrown);
  }
}

void Embedding::give_up(const std::exception& thrown) {
  over_ = true;
  stop_.request_stop();
  call_->give_up(thrown);
}

void Embedding::hear(std::size_t index, const engine::Update& update) {
  // Also of a text whose end nobody waits for any more.
  if (!update.failed) call_->count_prompt(update.prompt_tokens);
  if (over_) return;
  if (update.failed) return fail(api_error(*update.failed, "input"));
  if (update.piece.end == EndReason::kDeadline) return fail(too_slow());
  if (update.piece.end != EndReason::kPooled) {  // cancelled, as nothing else ends it
    if (!call_->gone().stop_requested()) return fail(draining());
    return fail(client_left());
  }
  const std::span wanted = std::span(update.pooled).first(request_.dimensions);
  vectors_[index].assign(wanted.begin(), wanted.end());
  ++done_;
  if (done_ < request_.inputs.size()) {
    // The last place that the request has goes to its next text, whoever waits; any other is free
    // for all, unless nobody else comes any more.
    return submit(done_ == submitted_ || engine_.state().closed);
  }
  over_ = true;
  later_([self = shared_from_this()] { self->reply(); });
}

void Embedding::fail(const ApiError& error) {
  over_ = true;
  stop_.request_stop();
  call_->fail(error);
}

std::string Embedding::text_of(std::span<const float> vector) const {
  return request_.base64 ? '"' + base64(vector) + '"' : list(vector);
}

// As text at once: a tree of so many numbers would take eight times their memory.
void Embedding::reply() {
  std::string body = R"({"object":"list","data":[)";
  for (std::size_t i = 0; i < vectors_.size(); ++i) {
    const std::span vector(vectors_[i]);
    engine::normalize_length(vector);
    if (i > 0) body += ',';
    body += R"({"object":"embedding","index":)" + std::to_string(i) + R"(,"embedding":)" +
            text_of(vector) + '}';
    vectors_[i] = {};
  }
  const std::uint64_t tokens = prompt_tokens();
  const json::object usage{{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  body += R"(],"model":)" + json::serialize(json::value(model_.id)) + R"(,"usage":)" +
          json::serialize(usage) + "}\n";
  call_->reply_text("application/json", std::move(body));
}

}  // namespace tern::serve
