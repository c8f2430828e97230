// Who may come in, how often, and what those are told who may not.
#pragma once

#include <vector>

#include "net/http_message.h"
#include "serve/api_keys.h"
#include "serve/call.h"
#include "serve/cors.h"
#include "telemetry/prometheus.h"
#include "telemetry/telemetry.h"

namespace tern::serve {

// Whether a request without a key may go on; else it has been answered: 403 where it may be a
// page's whose name was made to lead here. `keys_would_help`: with keys it would not be asked.
bool admit_host(Call& call, const Origins& origins, const Hosts& hosts, bool keys_would_help);

// Whether the request may go on; else it has been answered: 401 without a key that is known, 429
// beyond the limits of the key. `counts`: it is one of the requests that the limits are of.
bool admit(Call& call, const KeyRing& keys, bool counts);

// The reply to what was never a request of the API: malformed, too large, too late, too much; it
// has a line in the log. `request`: its peer and, where it was read, its head.
net::HttpResponse refusal(const net::HttpError& error, const net::HttpRequest& request,
                          telemetry::Telemetry& telemetry);

// What each key has used, for /metrics.
void add_key_metrics(std::vector<telemetry::Gauge>& gauges, const KeyRing& keys);

}  // namespace tern::serve
