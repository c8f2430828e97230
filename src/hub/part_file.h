// A download while it is made: its bytes go to BLOB.tern-part in chunks, BLOB.tern-journal has a
// line for each chunk that is there, with the hash of its bytes. Whatever ends the process, the
// next one goes on from there: a chunk counts where its bytes still have the hash.
//
// write() and has() may be called from any thread, each chunk by one at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "core/file_descriptor.h"
#include "core/result.h"

namespace tern::hub {

class PartFile {
 public:
  // Of a blob of `size` bytes that is to stand at `blob`, and is called `hash`. Errors: kIo; for
  // a file system without the room for what is missing, too.
  static Result<std::unique_ptr<PartFile>> open(const std::filesystem::path& blob,
                                                const std::string& hash, std::uint64_t size,
                                                std::uint64_t chunk_bytes);

  std::size_t chunks() const { return done_.size(); }
  std::uint64_t begin_of(std::size_t chunk) const { return chunk * chunk_bytes_; }
  std::uint64_t end_of(std::size_t chunk) const;
  bool has(std::size_t chunk) const;
  // Bytes that an earlier process had brought.
  std::uint64_t resumed_bytes() const { return resumed_bytes_; }

  // The whole of a chunk. Errors: kIo.
  Result<void> write(std::size_t chunk, std::span<const std::byte> bytes);
  Result<void> read(std::size_t chunk, std::vector<std::byte>& bytes) const;
  // Until the chunk is there. False: a stop came first.
  bool wait_for(std::size_t chunk, const std::stop_token& stop) const;

  // Forgets all chunks.
  Result<void> discard();
  // Syncs the bytes and puts them at the blob's path, for good.
  Result<void> commit();
  // Takes part and journal away.
  void remove();

 private:
  PartFile(std::filesystem::path blob, std::string head, std::uint64_t size,
           std::uint64_t chunk_bytes);
  Result<void> read_journal();
  Result<void> begin_journal();
  Result<void> require_space() const;

  std::filesystem::path blob_;
  std::filesystem::path part_;
  std::filesystem::path journal_;
  std::string head_;  // the journal's first line
  std::uint64_t size_;
  std::uint64_t chunk_bytes_;
  FileDescriptor fd_;
  FileDescriptor journal_fd_;
  std::uint64_t resumed_bytes_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::vector<bool> done_;
};

}  // namespace tern::hub
