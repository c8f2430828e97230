// What a server shows to clients that speak TLS, read once: several servers can show the same.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/result.h"

namespace tern::net {

// Files in PEM: the server's certificate and those that vouch for it, and its private key.
struct TlsFiles {
  std::string certificates;
  std::string key;
};

// Certificates, the key, and how the server speaks: TLS 1.2 and 1.3, and HTTP/1.1 for clients that
// ask which protocol (ALPN). Any thread.
class TlsIdentity;

// Errors: kIo for a file that cannot be read; kUsage for a key that anybody may read or that
// belongs to another certificate; kUnsupported for an encrypted key; kMalformed for what is no PEM
// of its kind.
Result<std::shared_ptr<const TlsIdentity>> read_tls_identity(const TlsFiles& files);

// When the first of its certificates ends: from then on clients may refuse them.
std::chrono::sys_seconds end_of(const TlsIdentity& identity);

}  // namespace tern::net
