// Addresses on the web, as far as a download needs them. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::hub {

// "https://host:443": who may see what another address of the same origin may. Errors: kMalformed
// for what is no http or https address.
Result<std::string> origin_of(const std::string& url);

// Whether the host is this machine.
bool is_loopback(const std::string& url);

// Where a redirect from `base` to `target`, which may be relative, leads. Errors: kMalformed for
// what is no address, and for one that is neither http nor https.
Result<std::string> follow(const std::string& base, const std::string& target);

// The address as messages show it: without user, password, query and fragment, any of which may be
// a secret.
std::string shown_url(std::string_view url);

// Bytes but letters, digits, '-', '.', '_', '~' and '/' become %XX.
std::string escape_path(std::string_view path);

// %XX become bytes. No value is impossible: what is no escape stays.
std::string unescape(std::string_view text);

}  // namespace tern::hub
