#include "cli/hub_access.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "cli/environment.h"
#include "cli/printable.h"
#include "cli/streams.h"

namespace tern::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostTokenBytes = 4096;

std::string first_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (std::string value = variable(name); !value.empty()) return value;
  }
  return "";
}

bool is_on(const char* name) {
  std::string value = variable(name);
  std::ranges::transform(value, value.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  });
  return value == "1" || value == "TRUE" || value == "YES" || value == "ON";
}

// Where Hugging Face's tools keep what they keep.
Result<fs::path> hf_home() {
  if (const std::string home = variable("HF_HOME"); !home.empty()) return fs::path(home);
  const fs::path shared = variable("XDG_CACHE_HOME");
  if (shared.is_absolute()) return shared / "huggingface";
  if (const std::string home = variable("HOME"); !home.empty()) {
    return fs::path(home) / ".cache" / "huggingface";
  }
  return Error{ErrorCode::kUsage, "there is no place for models; set HF_HUB_CACHE or HOME", ""};
}

// From the environment, else from the file that a login left. What it says is never shown.
Result<std::string> read_token() {
  if (std::string token = first_of({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}); !token.empty()) {
    return token;
  }
  if (is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return std::string();
  fs::path file = variable("HF_TOKEN_PATH");
  if (file.empty()) {
    const auto home = hf_home();
    if (!home) return std::string();
    file = *home / "token";
  }
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  if (error) return std::string();  // there is none
  if (size > kMostTokenBytes) {
    return Error{ErrorCode::kMalformed, "expected a token, found a longer file", file.string()};
  }
  TERN_ASSIGN(std::string token, read_all(file.string()));
  constexpr std::string_view kSpace = " \t\r\n";
  token.erase(0, std::min(token.find_first_not_of(kSpace), token.size()));
  token.erase(token.find_last_not_of(kSpace) + 1);
  return token;
}

hub::HttpOptions http_options() {
  hub::HttpOptions options;
  // HTTP_PROXY in capitals is a header that a client of a web server can set.
  options.http_proxy = first_of({"http_proxy", "all_proxy", "ALL_PROXY"});
  options.https_proxy = first_of({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  options.no_proxy = first_of({"no_proxy", "NO_PROXY"});
  options.ca_file = variable("SSL_CERT_FILE");
  return options;
}

}  // namespace

Result<fs::path> hub_cache_path() {
  if (const std::string own = first_of({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}); !own.empty()) {
    return fs::path(own);
  }
  TERN_ASSIGN(const fs::path home, hf_home());
  return home / "hub";
}

Result<std::unique_ptr<hub::Hub>> open_hub(const std::stop_token& stop) {
  hub::HubOptions options;
  TERN_ASSIGN(options.cache, hub_cache_path());
  TERN_ASSIGN(options.server.token, read_token());
  if (std::string endpoint = variable("HF_ENDPOINT"); !endpoint.empty()) {
    options.server.endpoint = std::move(endpoint);
  }
  options.offline = is_on("HF_HUB_OFFLINE");
  options.server.http = http_options();
  options.server.notice = [](const std::string& text) {
    write_stderr(std::string(stderr_is_terminal() ? "\r\x1b[K" : "") + "tern: " + printable(text) +
                 "\n");
  };
  options.server.stop = stop;
  return hub::Hub::create(std::move(options));
}

Result<hub::Aliases> open_aliases() {
  fs::path folder = variable("XDG_CONFIG_HOME");
  if (!folder.is_absolute()) {
    const std::string home = variable("HOME");
    if (home.empty()) {
      return Error{ErrorCode::kUsage, "there is no place for names of models; set HOME", ""};
    }
    folder = fs::path(home) / ".config";
  }
  return hub::Aliases::open(folder / "tern" / "models.json");
}

}  // namespace tern::cli
