#include "hub/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <mutex>

#include "hub/url.h"

namespace tern::hub {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostHeaders = 256;
constexpr std::size_t kMostHeaderBytes = std::size_t{64} << 10;
constexpr int kPollMilliseconds = 100;  // how soon a stop is seen
constexpr long kBuffer = 256L << 10;

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Whether the same request may go better at another time.
bool is_transient(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: return true;
    default: return false;
  }
}

// One transfer: what libcurl's callbacks need.
struct Transfer {
  const HttpClient::OnHead& on_head;
  const HttpClient::OnBody& on_body;
  HttpOutcome outcome;
  std::size_t header_bytes = 0;
  bool head_done = false;
  bool ended = false;  // no more is wanted
  Clock::time_point last_byte = Clock::now();

  bool fail(std::string message) {
    outcome.failed = Error{ErrorCode::kMalformed, std::move(message), ""};
    return false;
  }

  // False: the transfer is over.
  bool add_line(std::string_view line) {
    if (head_done) return true;  // a trailer
    if (line.starts_with("HTTP/")) {
      outcome.head = {};
      const std::string_view rest = line.substr(std::min(line.size(), line.find(' ') + 1));
      for (const char c : rest.substr(0, 3)) {
        if (c < '0' || c > '9') return fail("expected a status of three digits in the reply");
        outcome.head.status = outcome.head.status * 10 + (c - '0');
      }
      return true;
    }
    if (trimmed(line).empty()) return finish_head();
    header_bytes += line.size();
    if (outcome.head.headers.size() == kMostHeaders || header_bytes > kMostHeaderBytes) {
      return fail("expected at most 256 headers of 64 KiB in the reply, found more");
    }
    const std::size_t colon = std::min(line.find(':'), line.size());
    outcome.head.headers.emplace_back(trimmed(line.substr(0, colon)),
                                      trimmed(line.substr(std::min(colon + 1, line.size()))));
    return true;
  }

  bool finish_head() {
    if (outcome.head.status < 200) return true;  // an interim one
    head_done = true;
    auto wanted = on_head(outcome.head);
    if (!wanted) {
      outcome.failed = std::move(wanted.error());
      return false;
    }
    ended = !*wanted;
    return !ended;
  }

  bool add_body(std::span<const std::byte> bytes) {
    auto wanted = on_body(bytes);
    if (!wanted) {
      outcome.failed = std::move(wanted.error());
      return false;
    }
    ended = !*wanted;
    return !ended;
  }
};

// libcurl takes another count than the one it gave as an order to stop.
std::size_t on_line(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.last_byte = Clock::now();
  return transfer.add_line({data, size * count}) ? size * count : 0;
}

std::size_t on_bytes(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.last_byte = Clock::now();
  const auto bytes = std::as_bytes(std::span(data, size * count));
  return transfer.add_body(bytes) ? size * count : 0;
}

}  // namespace

std::optional<std::string_view> HttpHead::find(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (same_name(key, name)) return value;
  }
  return std::nullopt;
}

// A handle with the connections that it keeps.
class HttpClient::Connection {
 public:
  Connection() : easy_(curl_easy_init()), multi_(curl_multi_init()) {}
  ~Connection() {
    if (headers_ != nullptr) curl_slist_free_all(headers_);
    if (easy_ != nullptr) curl_easy_cleanup(easy_);
    if (multi_ != nullptr) curl_multi_cleanup(multi_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  HttpOutcome get(const HttpOptions& options, const HttpRequest& request, const OnHead& on_head,
                  const OnBody& on_body, const std::stop_token& stop) {
    Transfer transfer{on_head, on_body, {}};
    if (easy_ == nullptr || multi_ == nullptr || !prepare(options, request, transfer)) {
      transfer.outcome.failed =
          Error{ErrorCode::kOutOfMemory, "libcurl cannot be set up", shown_url(request.url)};
      return std::move(transfer.outcome);
    }
    curl_multi_add_handle(multi_, easy_);
    perform(options, request, transfer, stop);
    curl_multi_remove_handle(multi_, easy_);
    if (transfer.outcome.failed && transfer.outcome.failed->context.empty()) {
      transfer.outcome.failed->context = shown_url(request.url);
    }
    return std::move(transfer.outcome);
  }

 private:
  template <typename Value>
  void set(CURLoption option, Value value) {
    set_up_ = set_up_ && curl_easy_setopt(easy_, option, value) == CURLE_OK;
  }

  void add_header(const std::string& line) {
    curl_slist* const longer = curl_slist_append(headers_, line.c_str());
    set_up_ = set_up_ && longer != nullptr;
    if (longer != nullptr) headers_ = longer;
  }

  bool prepare(const HttpOptions& options, const HttpRequest& request, Transfer& transfer) {
    set_up_ = true;
    curl_easy_reset(easy_);
    if (headers_ != nullptr) curl_slist_free_all(std::exchange(headers_, nullptr));
    const bool tls = request.url.starts_with("https:");
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, "tern");
    // A wish: libcurl 7.88 refuses it to a handle whose last host had no address.
    curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kBuffer);
    // An empty proxy keeps libcurl from the environment, which is not its to read. To a proxy,
    // "this machine" would be another, and it would see the token.
    const std::string& proxy = tls ? options.https_proxy : options.http_proxy;
    set(CURLOPT_PROXY, is_loopback(request.url) ? "" : proxy.c_str());
    set(CURLOPT_NOPROXY, options.no_proxy.c_str());
    // What a proxy answers to CONNECT is no head of the reply.
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
    if (request.range) {
      const std::string range =
          std::to_string(request.range->begin) + "-" + std::to_string(request.range->end - 1);
      set(CURLOPT_RANGE, range.c_str());
    }
    add_header("Accept-Encoding: identity");
    if (!request.token.empty()) add_header("Authorization: Bearer " + request.token);
    set(CURLOPT_HTTPHEADER, headers_);
    set(CURLOPT_HEADERFUNCTION, &on_line);
    set(CURLOPT_HEADERDATA, &transfer);
    set(CURLOPT_WRITEFUNCTION, &on_bytes);
    set(CURLOPT_WRITEDATA, &transfer);
    set(CURLOPT_ERRORBUFFER, static_cast<char*>(message_));
    message_[0] = '\0';
    return set_up_;
  }

  // Until it is over, stalls, or is stopped.
  void perform(const HttpOptions& options, const HttpRequest& request, Transfer& transfer,
               const std::stop_token& stop) {
    HttpOutcome& outcome = transfer.outcome;
    int running = 1;
    while (curl_multi_perform(multi_, &running) == CURLM_OK && running != 0) {
      if (stop.stop_requested()) {
        outcome.failed = Error{ErrorCode::kIo, "interrupted", ""};
        return;
      }
      if (Clock::now() - transfer.last_byte > options.stall) {
        outcome.may_retry = true;
        outcome.failed = Error{
            ErrorCode::kIo,
            "the server has sent nothing for " + std::to_string(options.stall.count()) + " ms", ""};
        return;
      }
      curl_multi_poll(multi_, nullptr, 0, kPollMilliseconds, nullptr);
    }
    if (!outcome.failed && !transfer.ended) take_result(request, outcome);
  }

  void take_result(const HttpRequest& request, HttpOutcome& outcome) {
    int left = 0;
    const CURLMsg* const message = curl_multi_info_read(multi_, &left);
    const CURLcode code = message == nullptr ? CURLE_RECV_ERROR : message->data.result;
    if (code == CURLE_OK) return;
    outcome.may_retry = is_transient(code);
    std::string text = message_[0] != '\0' ? std::string(static_cast<const char*>(message_))
                                           : std::string(curl_easy_strerror(code));
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
      text += "; where a proxy brings a certificate of its own, name it in SSL_CERT_FILE";
    }
    outcome.failed = Error{ErrorCode::kIo, std::move(text), shown_url(request.url)};
  }

  CURL* easy_;
  CURLM* multi_;
  curl_slist* headers_ = nullptr;
  bool set_up_ = true;
  char message_[CURL_ERROR_SIZE] = {};
};

struct HttpClient::State {
  std::mutex mutex;
  std::vector<std::unique_ptr<Connection>> idle;
};

HttpClient::HttpClient(HttpOptions options)
    : options_(std::move(options)), state_(std::make_unique<State>()) {
  static std::once_flag once;  // libcurl's own state, which has no owner
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Connection> HttpClient::take() {
  const std::scoped_lock lock(state_->mutex);
  if (state_->idle.empty()) return std::make_unique<Connection>();
  auto connection = std::move(state_->idle.back());
  state_->idle.pop_back();
  return connection;
}

void HttpClient::put_back(std::unique_ptr<Connection> connection) {
  const std::scoped_lock lock(state_->mutex);
  state_->idle.push_back(std::move(connection));
}

HttpOutcome HttpClient::get(const HttpRequest& request, const OnHead& on_head,
                            const OnBody& on_body, const std::stop_token& stop) {
  auto connection = take();
  HttpOutcome outcome = connection->get(options_, request, on_head, on_body, stop);
  put_back(std::move(connection));
  return outcome;
}

}  // namespace tern::hub
