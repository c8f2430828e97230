// A file on a hub's server, of a known size and hash, read by ranges. What the server sends is held
// to what its listing said: the total of each range, its place, and that it is still the same file.
// The hash itself is checked by who reads all of it.
//
// Any number of threads may read at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>

#include "core/result.h"
#include "hub/server.h"

namespace tern::hub {

class RemoteFile {
 public:
  // The server is borrowed. `name` is what messages call the file.
  RemoteFile(const Server& server, std::string name, std::string url, RemoteEntry entry)
      : server_(server), name_(std::move(name)), url_(std::move(url)), entry_(std::move(entry)) {}

  const std::string& name() const { return name_; }
  const RemoteEntry& entry() const { return entry_; }

  // Takes bytes in order, each once.
  using Sink = std::function<Result<void>(std::uint64_t offset, std::span<const std::byte> bytes)>;

  // The bytes from `begin` up to, without, `end`, with as many tries as the server's policy has.
  // Errors: kIo for transfers that fail at last, kMalformed for lies, kUsage for what is denied or
  // missing, and those of the sink.
  Result<void> fetch(std::uint64_t begin, std::uint64_t end, const Sink& sink,
                     const std::stop_token& stop) const;

  // All bytes in one stream, for a server that ignores ranges: another try begins at the first
  // byte.
  Result<void> fetch_whole(const Sink& sink, const std::stop_token& stop) const;

  // Until the server's own stop. Errors: those of fetch.
  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const;

  // Why the last error came, where a reader can do something about it.
  bool ignores_ranges() const { return ignores_ranges_; }
  bool changed() const { return changed_; }
  // Forgets the file that it has seen, and takes the one that is there now.
  void accept_change();

 private:
  struct Try;
  Result<void> fetch_from(std::uint64_t begin, std::uint64_t end, bool whole, const Sink& sink,
                          const std::stop_token& stop) const;
  Result<bool> check_head(const HttpHead& head, Try& attempt) const;
  Result<void> check_range(const HttpHead& head, const Try& attempt) const;
  Result<void> check_whole(const HttpHead& head, const Try& attempt) const;
  Result<void> check_same(const HttpHead& head) const;
  Result<bool> take_body(std::span<const std::byte> bytes, Try& attempt, const Sink& sink) const;
  Result<void> check_links(const Reply& reply) const;
  Target target_of(const Try& attempt) const;
  void keep_target(const Reply& reply, bool good) const;
  Error lie(std::string message) const;

  const Server& server_;
  std::string name_;
  std::string url_;
  RemoteEntry entry_;
  mutable std::mutex mutex_;
  mutable std::string target_;  // where the redirects led; empty: ask again
  mutable std::string etag_;    // of the first reply
  mutable std::atomic<bool> ignores_ranges_{false};
  mutable std::atomic<bool> changed_{false};
};

}  // namespace tern::hub
