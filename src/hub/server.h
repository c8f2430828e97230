// A hub's server: requests with their redirects, tries and waits. The token goes to the endpoint's
// own origin and to no other.
//
// Any number of threads may use it at once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "core/result.h"
#include "hub/http_client.h"
#include "hub/listing.h"
#include "hub/model_ref.h"

namespace tern::hub {

struct RetryPolicy {
  unsigned tries = 5;                            // of one request, the first included
  std::chrono::milliseconds first_delay{500};    // before the second; each is twice the one before
  std::chrono::milliseconds most_delay{16'000};  // but at most this
  std::chrono::seconds most_wait{120};           // that a server may ask for; else an error
};

struct ServerOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;  // empty: none
  HttpOptions http;
  RetryPolicy retry;
  // What is tried again, and why. From any thread, one call at a time.
  std::function<void(const std::string& text)> notice;
  std::stop_token stop;  // of requests that have none of their own
};

// A reply and where it came from, behind all redirects.
struct Reply {
  HttpOutcome outcome;
  std::string url;
  bool redirected = false;
  // Of the first reply that names them, on the endpoint's own origin.
  std::string linked_etag;
  std::optional<std::uint64_t> linked_size;
};

// What is behind an address and its range.
struct Target {
  std::string url;
  std::optional<ByteRange> range;
  bool with_token = true;  // where the address is of the endpoint's origin
};

class Server {
 public:
  // Errors: kUsage for an endpoint that is no address, and a token that is none.
  static Result<std::unique_ptr<Server>> create(ServerOptions options);

  const ServerOptions& options() const { return options_; }

  // One try, with its redirects. `on_head` sees the last reply's head alone.
  Reply get_once(const Target& target, const HttpClient::OnHead& on_head,
                 const HttpClient::OnBody& on_body, const std::stop_token& stop) const;

  // A short text in whole. Errors: kIo for what fails at last, kUsage for what the server denies or
  // lacks, kUnsupported for more than `most` bytes; `what` is what messages call it.
  struct Text {
    std::string body;
    HttpHead head;
  };
  Result<Text> get_text(const std::string& url, std::size_t most, const std::string& what) const;

  // The commit of a revision, and its files. Errors: those of get_text and of listing.h.
  Result<std::string> commit_of(const ModelRef& ref) const;
  Result<std::vector<RemoteEntry>> files_of(const ModelRef& ref, const std::string& commit) const;

  // The address of a file of a commit.
  std::string file_url(const std::string& repo, const std::string& commit,
                       const std::string& path) const;

  // Waits until a try is due. `asked` is what the server asked for. Errors: kIo where that is too
  // long, and for a stop.
  Result<void> wait(unsigned failures, std::optional<std::chrono::seconds> asked,
                    const std::string& what, const std::string& why,
                    const std::stop_token& stop) const;

 private:
  Server(ServerOptions options, std::string origin)
      : options_(std::move(options)), origin_(std::move(origin)), client_(options_.http) {}

  ServerOptions options_;
  std::string origin_;
  mutable HttpClient client_;
  mutable std::mutex notices_;
};

// What a status other than success means for the one who asked. The error's code is kUsage for what
// is denied or missing, kIo for the rest.
Error status_error(int status, const std::string& what, bool has_token);

// Whether the same request may succeed later: 408, 425, 429 and 5xx.
bool is_transient_status(int status);

}  // namespace tern::hub
