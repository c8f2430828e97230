// One request of a load and its answer: what is sent, and what is read of the events that come.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "diagnose/load/outcome.h"
#include "diagnose/load/run.h"
#include "net/http_client.h"

namespace tern::diagnose {

// What a server is asked with.
struct LoadServer {
  std::string model;
  std::vector<std::int64_t> tokens;  // ids for prompts; none: they are made of words
};

// GET of `path`, or POST where there is a body.
net::HttpRequest make_request(const LoadOptions& options, std::string path, std::string body = {});

// What a server says of itself, and which tokens it makes of some words. Errors: see run_load().
boost::asio::awaitable<Result<LoadServer>> look_at(boost::asio::io_context& io,
                                                   const LoadOptions& options);

// The request of that number.
net::HttpRequest planned_request(const LoadOptions& options, const LoadServer& server,
                                 std::uint64_t index);

// Sends it and reads the answer into `outcome`, all but its index, when it was to be sent and when
// it ended. `now` says how late it is.
boost::asio::awaitable<void> exchange(net::HttpCall& call, const net::HttpTarget& target,
                                      const net::HttpRequest& request,
                                      const std::function<double()>& now, RequestOutcome& outcome);

}  // namespace tern::diagnose
