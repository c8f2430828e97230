#include "hub/server.h"

#include <condition_variable>
#include <mutex>
#include <set>

#include "hub/url.h"

namespace tern::hub {
namespace {

constexpr unsigned kMostRedirects = 8;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// A header's value must not be able to end its line.
bool is_token(std::string_view token) {
  for (const char c : token) {
    if (c <= 0x20 || c >= 0x7F) return false;
  }
  return true;
}

Reply failed(Reply reply, Error error) {
  reply.outcome.failed = std::move(error);
  reply.outcome.may_retry = false;
  return reply;
}

void note_links(const HttpHead& head, Reply& reply) {
  const auto etag = head.find("X-Linked-Etag");
  if (etag && reply.linked_etag.empty()) reply.linked_etag = etag_text(*etag);
  const auto size = head.find("X-Linked-Size");
  if (size && !reply.linked_size) reply.linked_size = parse_number(*size);
}

}  // namespace

bool is_transient_status(int status) {
  return status == 408 || status == 425 || status == 429 || (status >= 500 && status < 600);
}

Error status_error(int status, const std::string& what, bool has_token) {
  const std::string found = "the server answers " + std::to_string(status);
  if (status == 401 || status == 403) {
    return Error{
        ErrorCode::kUsage,
        found + (has_token ? ": the token gives no access; where the repository is gated, "
                             "accept its terms on its page, with the account of the token"
                           : ": it is private or gated, or its name is wrong; accept its terms "
                             "on its page, and set HF_TOKEN to a token that may read it"),
        what};
  }
  if (status == 404 || status == 410) {
    return Error{ErrorCode::kUsage,
                 found + ": there is no such repository, revision or file" +
                     (has_token ? "" : "; a private one needs HF_TOKEN"),
                 what};
  }
  if (status == 416) {
    return Error{ErrorCode::kMalformed, found + ": the file is shorter there than its listing says",
                 what};
  }
  if (status == 429) {
    return Error{ErrorCode::kIo, found + ": too many requests; try again later", what};
  }
  return Error{ErrorCode::kIo, found + ", which is no answer to this request", what};
}

Result<std::unique_ptr<Server>> Server::create(ServerOptions options) {
  while (options.endpoint.ends_with('/')) options.endpoint.pop_back();
  auto origin = origin_of(options.endpoint);
  if (!origin) {
    return Error{ErrorCode::kUsage, origin.error().message, "HF_ENDPOINT"};
  }
  if (!is_token(options.token)) {
    return Error{ErrorCode::kUsage,
                 "expected a token of visible characters, found another one (it is not shown)",
                 "HF_TOKEN"};
  }
  // In plain text a token could be read on its way.
  if (!options.token.empty() && origin->starts_with("http:") && !is_loopback(options.endpoint)) {
    options.token.clear();
    if (options.notice) {
      options.notice("the token is not sent: the endpoint is http, which others can read");
    }
  }
  return std::unique_ptr<Server>(new Server(std::move(options), std::move(*origin)));
}

Reply Server::get_once(const Target& target, const HttpClient::OnHead& on_head,
                       const HttpClient::OnBody& on_body, const std::stop_token& stop) const {
  Reply reply;
  reply.url = target.url;
  bool at_home = target.with_token;  // once it has left, a chain gets no token any more
  std::set<std::string> seen;
  for (unsigned hop = 0;; ++hop) {
    const auto origin = origin_of(reply.url);
    if (!origin) return failed(std::move(reply), origin.error());
    at_home = at_home && *origin == origin_;
    const HttpRequest request{reply.url, at_home ? options_.token : std::string(), target.range};
    bool redirects = false;
    reply.outcome = client_.get(
        request,
        [&](const HttpHead& head) -> Result<bool> {
          if (at_home) note_links(head, reply);
          redirects = is_redirect(head.status) && head.find("Location").has_value();
          if (redirects) return false;
          return on_head(head);
        },
        on_body, stop);
    if (reply.outcome.failed || !redirects) return reply;
    const std::string shown = shown_url(reply.url);
    auto next = follow(reply.url, std::string(*reply.outcome.head.find("Location")));
    if (!next) return failed(std::move(reply), next.error());
    if (reply.url.starts_with("https:") && !next->starts_with("https:")) {
      return failed(
          std::move(reply),
          {ErrorCode::kMalformed, "refused: a redirect leads from https to plain http", shown});
    }
    if (!seen.insert(reply.url).second || seen.contains(*next) || hop == kMostRedirects) {
      return failed(std::move(reply),
                    {ErrorCode::kMalformed,
                     seen.contains(*next) ? "refused: the redirects lead in a circle"
                                          : "refused: more than 8 redirects",
                     shown});
    }
    reply.url = std::move(*next);
    reply.redirected = true;
  }
}

Result<void> Server::wait(unsigned failures, std::optional<std::chrono::seconds> asked,
                          const std::string& what, const std::string& why,
                          const std::stop_token& stop) const {
  using std::chrono::milliseconds;
  const RetryPolicy& retry = options_.retry;
  if (failures >= retry.tries) {
    return Error{ErrorCode::kIo, why + "; given up after " + std::to_string(failures) + " tries",
                 what};
  }
  milliseconds delay = retry.first_delay * (std::uint64_t{1} << std::min(failures - 1, 20u));
  delay = std::min(delay, retry.most_delay);
  if (asked) {
    if (*asked > retry.most_wait) {
      return Error{ErrorCode::kIo,
                   why + "; the server asks to wait " + std::to_string(asked->count()) +
                       " s, which is too long; try again then",
                   what};
    }
    delay = std::max<milliseconds>(delay, *asked);
  }
  if (options_.notice) {
    const std::scoped_lock lock(notices_);
    options_.notice(what + ": " + why + "; try " + std::to_string(failures + 1) + " of " +
                    std::to_string(retry.tries) + " in " + std::to_string(delay.count()) + " ms");
  }
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any sleep;
  sleep.wait_for(lock, stop, delay, [] { return false; });
  if (stop.stop_requested()) return Error{ErrorCode::kIo, "interrupted", what};
  return {};
}

Result<Server::Text> Server::get_text(const std::string& url, std::size_t most,
                                      const std::string& what) const {
  for (unsigned failures = 0;;) {
    Text text;
    std::optional<std::chrono::seconds> asked;
    const Reply reply = get_once(
        {url, std::nullopt},
        [&](const HttpHead& head) -> Result<bool> {
          text.head = head;
          return head.status == 200;
        },
        [&](std::span<const std::byte> bytes) -> Result<bool> {
          if (bytes.size() > most - text.body.size()) {
            return Error{ErrorCode::kUnsupported,
                         "the server's answer is longer than " + std::to_string(most) + " bytes",
                         what};
          }
          text.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
          return true;
        },
        options_.stop);
    const HttpOutcome& outcome = reply.outcome;
    if (!outcome.failed && outcome.head.status == 200) return text;
    if (outcome.failed && !outcome.may_retry) return *outcome.failed;
    Error why = outcome.failed ? *outcome.failed
                               : status_error(outcome.head.status, what, !options_.token.empty());
    if (!outcome.failed && !is_transient_status(outcome.head.status)) return why;
    if (const auto after = outcome.head.find("Retry-After")) asked = parse_retry_after(*after);
    TERN_TRY(wait(++failures, asked, what, why.message, options_.stop));
  }
}

Result<std::string> Server::commit_of(const ModelRef& ref) const {
  const std::string url =
      options_.endpoint + "/api/models/" + ref.repo + "/revision/" + escape_revision(ref.revision);
  TERN_ASSIGN(const Text text, get_text(url, kMostListingBytes, ref.to_string()));
  return parse_commit(text.body, ref.to_string());
}

Result<std::vector<RemoteEntry>> Server::files_of(const ModelRef& ref,
                                                  const std::string& commit) const {
  const std::string source = ref.to_string();
  std::vector<RemoteEntry> files;
  std::string url =
      options_.endpoint + "/api/models/" + ref.repo + "/tree/" + commit + "?recursive=true";
  for (std::size_t page = 0;; ++page) {
    if (page == kMostListingPages) {
      return Error{ErrorCode::kUnsupported, "expected at most 256 pages of files, found more",
                   source};
    }
    TERN_ASSIGN(const Text text, get_text(url, kMostListingBytes, source));
    TERN_TRY(parse_tree_page(text.body, source, files));
    const auto link = text.head.find("Link");
    const auto next = link ? next_page(*link) : std::nullopt;
    if (!next) break;
    TERN_ASSIGN(std::string following, follow(url, *next));
    TERN_ASSIGN(const std::string origin, origin_of(following));
    if (origin != origin_ || following == url) {
      return Error{ErrorCode::kMalformed,
                   "refused: the list of files goes on at another server, or at itself", source};
    }
    url = std::move(following);
  }
  TERN_TRY(check_paths(files, source));
  return files;
}

std::string Server::file_url(const std::string& repo, const std::string& commit,
                             const std::string& path) const {
  return options_.endpoint + "/" + repo + "/resolve/" + commit + "/" + escape_path(path);
}

}  // namespace tern::hub
