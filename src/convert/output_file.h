// The GGUF file while it is made: its bytes go to PATH.part, at any offset; PATH.journal has a line
// for each tensor that is finished, with the hash of its bytes. Whatever ends the process, the same
// conversion goes on from there: lines that are whole are believed only where the bytes still have
// the hash. PATH itself appears when all is there and on the disk.
//
// Threads may write and read different ranges at once; the rest is for one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "core/file_descriptor.h"
#include "core/result.h"

namespace tern::convert {

// Errors: kUsage where writing the output would destroy the input.
Result<void> refuse_same_file(const std::filesystem::path& input,
                              const std::filesystem::path& output);

class OutputFile {
 public:
  // `fingerprint`, 64 hexadecimal digits, stands for all that decides the bytes: a journal of
  // another one is left behind, with its part. Errors: kIo; kUsage where another process is at work
  // there, where something stands that is no file, and where part or journal are another file, of
  // which nothing is touched.
  static Result<OutputFile> open(const std::filesystem::path& path, const std::string& fingerprint,
                                 std::uint64_t bytes);

  const std::filesystem::path& part() const { return part_; }
  // An error where the file system lacks the room for what is not written yet.
  Result<void> require_space() const;

  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const;

  // What the journal has of a tensor.
  struct Entry {
    std::uint64_t hash = 0;     // of its bytes
    std::uint64_t rounded = 0;  // values that its type could not hold
  };
  std::optional<Entry> recorded(std::size_t tensor) const;
  Result<void> record(std::size_t tensor, const Entry& entry);

  // Brings what is written to the disk.
  Result<void> sync() const;

  // Puts the file at its path, for good, and takes the journal away.
  Result<void> commit();
  // Takes part and journal away: what was made so far is wrong, and not to be gone on with.
  void discard();

 private:
  OutputFile(std::filesystem::path path, std::uint64_t bytes);
  Result<void> lock_part();
  Result<void> open_journal();
  void read_journal(const std::string& fingerprint);

  std::filesystem::path path_;
  std::filesystem::path part_;
  std::filesystem::path journal_;
  std::uint64_t bytes_;
  FileDescriptor fd_;
  FileDescriptor journal_fd_;
  bool same_fingerprint_ = false;
  std::map<std::size_t, Entry> recorded_;
};

}  // namespace tern::convert
