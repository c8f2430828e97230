#include "net/tls_context.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/ssl/error.hpp>
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "core/file_descriptor.h"

namespace tern::net {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

namespace {

constexpr std::string_view kHttp11 = "http/1.1";

// A client that asks for protocols gets HTTP/1.1 or, where it has none of it, no connection: it
// would not understand the answers.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length,
                    const unsigned char* offered, unsigned offered_length, void*) {
  for (unsigned i = 0; i < offered_length; i += offered[i] + 1u) {
    const std::size_t size = std::min<std::size_t>(offered[i], offered_length - i - 1);
    const std::string_view name(reinterpret_cast<const char*>(offered + i + 1), size);
    if (name != kHttp11) continue;
    *chosen = offered + i + 1;
    *length = offered[i];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

Result<void> check_file(const std::string& path, bool is_secret) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));  // NOLINT: variadic
  if (!file.is_open()) return io_error(path, "cannot open", errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return io_error(path, "cannot look at it", errno);
  if (!is_secret || (status.st_mode & (S_IROTH | S_IWOTH)) == 0) return {};
  return Error{ErrorCode::kUsage, "anybody may read or write this key: chmod o-rw", path};
}

// Of the certificate and those that vouch for it: the first to end.
Result<std::chrono::sys_seconds> first_end(SSL_CTX* context, const std::string& path) {
  std::vector<const X509*> all{SSL_CTX_get0_certificate(context)};
  STACK_OF(X509)* others = nullptr;
  SSL_CTX_get0_chain_certs(context, &others);
  for (int i = 0; i < sk_X509_num(others); ++i) all.push_back(sk_X509_value(others, i));
  auto first = std::chrono::sys_seconds::max();
  for (const X509* certificate : all) {
    std::tm time{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) {
      return Error{ErrorCode::kMalformed, "a certificate does not say when it ends", path};
    }
    first = std::min(first, std::chrono::sys_seconds(std::chrono::seconds(::timegm(&time))));
  }
  return first;
}

Result<std::shared_ptr<ssl::context>> make_context(const TlsFiles& files) {
  TERN_TRY(check_file(files.certificates, false));
  TERN_TRY(check_file(files.key, true));
  error_code code;
  const auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
  context->use_certificate_chain_file(files.certificates, code);
  if (code) {
    return Error{ErrorCode::kMalformed, "expected certificates in PEM: " + code.message(),
                 files.certificates};
  }
  bool is_encrypted = false;
  context->set_password_callback(
      [&is_encrypted](std::size_t, ssl::context::password_purpose) {
        is_encrypted = true;  // else OpenSSL would ask on the terminal
        return std::string();
      },
      code);
  context->use_private_key_file(files.key, ssl::context::pem, code);
  if (is_encrypted) {
    return Error{ErrorCode::kUnsupported,
                 "expected a key without a passphrase, which nobody is there to type", files.key};
  }
  if (code && ERR_GET_REASON(code.value()) == X509_R_KEY_VALUES_MISMATCH) {
    return Error{ErrorCode::kUsage, "the key is not that of " + files.certificates, files.key};
  }
  if (code) {
    return Error{ErrorCode::kMalformed, "expected a private key in PEM: " + code.message(),
                 files.key};
  }
  return context;
}

}  // namespace

Result<std::shared_ptr<const TlsIdentity>> read_tls_identity(const TlsFiles& files) {
  TERN_ASSIGN(auto context, make_context(files));
  TERN_ASSIGN(const auto end, first_end(context->native_handle(), files.certificates));
  return std::make_shared<const TlsIdentity>(std::move(context), end);
}

std::chrono::sys_seconds end_of(const TlsIdentity& identity) { return identity.end; }

bool is_plain_http(const error_code& code) {
  return code.category() == boost::asio::error::get_ssl_category() &&
         ERR_GET_REASON(static_cast<unsigned long>(code.value())) == SSL_R_HTTP_REQUEST;
}

}  // namespace tern::net
