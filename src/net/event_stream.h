// Server-sent events out of the bytes of a reply, cut in any way (WHATWG HTML, 9.2.6).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern::net {

class EventStreamReader {
 public:
  // The data of the events that end with these bytes; events without data are none. Errors:
  // kMalformed for one that is longer than 16 MiB; it is of no more use then.
  Result<std::vector<std::string>> feed(std::string_view bytes);

 private:
  void end_line(std::vector<std::string>& events);

  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_return_ = false;
};

}  // namespace tern::net
