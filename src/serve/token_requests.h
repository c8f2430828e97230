// What needs the tokenizer or the template alone: the bodies of /tokenize, /detokenize and
// /apply-template, read, checked and answered.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>
#include <variant>

#include "serve/api_error.h"
#include "serve/served_model.h"

namespace tern::serve {

using Answered = std::variant<boost::json::object, ApiError>;

// The object that a body is.
Answered parse_body(std::string_view body);

Answered tokenize(const boost::json::object& body, const ServedModel& model);
Answered detokenize(const boost::json::object& body, const ServedModel& model);
Answered apply_template(const boost::json::object& body, const ServedModel& model);

}  // namespace tern::serve
