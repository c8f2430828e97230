// Result<T>: a value or an Error. Libraries return it instead of throwing, printing or aborting.
//
// An Error says what was expected, what was found, where, and what to do; its code decides the exit
// status of the command line and the HTTP status of the server.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace tern {

enum class ErrorCode {
  kUsage,          // the caller's options contradict each other or are out of range
  kIo,             // a file cannot be opened, read, mapped or written
  kMalformed,      // the bytes are not what their format promises
  kUnsupported,    // well-formed, but outside of what Tern implements
  kProofFailed,    // the model contradicts itself or the tier contradicts the definition
  kOutOfMemory,    // the machine or its cgroup cannot give the memory that is needed
  kNumeric,        // a NaN, an infinity, or a value that the KV type cannot hold
  kContextLength,  // the prompt does not fit into the context
  kOverloaded,     // too many requests wait already
};

// A stable, lower-case name: "malformed", "out_of_memory".
std::string_view name(ErrorCode code);

struct Error {
  ErrorCode code;
  std::string message;
  std::string context;  // where: file, tensor, key, offset; may be empty

  // "context: message", or the message alone.
  std::string to_string() const;
};

// Puts `where` in front of an error's context: "model.gguf: blk.0.attn_q.weight".
Error in_context(std::string_view where, Error error);

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return *std::get_if<0>(&state_); }
  const T& value() const { return *std::get_if<0>(&state_); }
  Error& error() { return *std::get_if<1>(&state_); }
  const Error& error() const { return *std::get_if<1>(&state_); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  Error& error() { return *error_; }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace tern

// TERN_TRY(expression): returns the error of a Result from the enclosing function.
#define TERN_TRY(...)                                     \
  do {                                                    \
    if (auto tern_result = (__VA_ARGS__); !tern_result) { \
      return std::move(tern_result.error());              \
    }                                                     \
  } while (false)

// TERN_ASSIGN(auto x, expression): declares x from the value of a Result, or returns its error.
#define TERN_CONCAT_(a, b) a##b
#define TERN_CONCAT(a, b) TERN_CONCAT_(a, b)
#define TERN_ASSIGN(declaration, ...)                              \
  auto TERN_CONCAT(tern_result_, __LINE__) = (__VA_ARGS__);        \
  if (!TERN_CONCAT(tern_result_, __LINE__)) {                      \
    return std::move(TERN_CONCAT(tern_result_, __LINE__).error()); \
  }                                                                \
  declaration = std::move(TERN_CONCAT(tern_result_, __LINE__).value())
