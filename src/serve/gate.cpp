#include "serve/gate.h"

#include <chrono>
#include <string>
#include <utility>

#include "core/shortened.h"
#include "serve/api_error.h"

namespace tern::serve {

bool admit_host(Call& call, const Origins& origins, const Hosts& hosts, bool keys_would_help) {
  if (!has_foreign_host(call.request(), origins, hosts)) return true;
  call.fail({403,
             "Host: expected localhost, *.localhost, 127.0.0.1 or [::1], found \"" +
                 shortened(call.request().header("host")) +
                 "\", by which a web page may have led its reader here, where no key is asked for; "
                 "name it in allowed-hosts" +
                 (keys_would_help ? ", or give the server keys" : ""),
             "invalid_request_error", "", "host_not_allowed"});
  return false;
}

bool admit(Call& call, const KeyRing& keys, bool counts) {
  if (keys.empty()) return true;
  const auto key = bearer_key(call.request());
  const std::shared_ptr<Account> account = key ? keys.find(*key) : nullptr;
  if (!account) {
    const char* found = key ? "the API key is not known"
                            : "expected \"Authorization: Bearer\" and an API key, found none";
    call.fail({401, found, "authentication_error", "", "invalid_api_key"},
              {{"WWW-Authenticate", "Bearer"}});
    return false;
  }
  call.belongs_to(account);
  if (!counts) return true;
  const auto refusal = account->admit();
  if (!refusal) {
    call.take_place();
    return true;
  }
  call.fail(beyond_limit(refusal->message, refusal->retry_after));
  return false;
}

net::HttpResponse refusal(const net::HttpError& error, const net::HttpRequest& request,
                          telemetry::Telemetry& telemetry) {
  using std::chrono::steady_clock;
  const std::string id = id_of(request);
  const ApiError refused = api_error(error);
  net::HttpResponse response = to_response(refused);
  const auto now = steady_clock::now();
  const std::chrono::duration<double> seconds = now - request.head_time.value_or(now);
  response.headers.push_back({"x-request-id", id});
  count_reply(telemetry, error.status);
  telemetry.emit({"http.request",
                  {{"request_id", id},
                   {"method", request.method},
                   {"path", request.path},
                   {"peer", request.peer},
                   {"status", std::uint64_t{error.status}},
                   {"seconds", seconds.count()},
                   {"response_bytes", std::uint64_t{response.body.size()}},
                   {"error", short_name(refused)}}});
  return response;
}

void add_key_metrics(std::vector<telemetry::Gauge>& gauges, const KeyRing& keys) {
  using Used = Account::Used;
  struct Part {
    const char* name;
    const char* help;
    std::uint64_t Used::*value;
  };
  constexpr Part kParts[] = {
      {"key.requests",
       "Requests that a key was let in with and not told to come again, and that have ended.",
       &Used::requests},
      {"key.refused", "Requests beyond the limits of a key.", &Used::refused},
      {"key.prompt_tokens", "Tokens of its prompts.", &Used::prompt_tokens},
      {"key.generated_tokens", "Tokens of its answers.", &Used::generated_tokens}};
  const auto accounts = keys.accounts();
  for (const Part& part : kParts) {
    for (const auto& account : accounts) {
      const auto value = static_cast<double>(account->used().*part.value);
      gauges.push_back({part.name, part.help, value, {{"key", account->name()}}, true});
    }
  }
}

}  // namespace tern::serve
