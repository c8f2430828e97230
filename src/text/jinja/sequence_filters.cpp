// Filters of what one can go through.
#include <algorithm>
#include <charconv>

#include "text/jinja/filters.h"

namespace tern::text::jinja {
namespace {

// "a.b.0" of a value.
Result<Value> member(Interpreter& interpreter, const Value& of, std::string_view path) {
  Value value = of;
  while (!path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    const std::string_view part = path.substr(0, dot);
    path.remove_prefix(std::min(dot + 1, path.size()));
    std::int64_t number = 0;
    const auto outcome = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool is_number = outcome.ec == std::errc() && outcome.ptr == part.data() + part.size();
    TERN_ASSIGN(value, item(interpreter, value, is_number ? Value(number) : Value(part)));
  }
  return value;
}

// The value of an item by which to sort, to group or to sum: a member of it where one is named.
Result<Value> key_of(Interpreter& interpreter, const Value& of, const Value* attribute) {
  if (attribute == nullptr || attribute->is_none()) return of;
  if (attribute->string()) return member(interpreter, of, *attribute->string());
  return item(interpreter, of, *attribute);
}

Result<Value> iterator(Interpreter& interpreter, std::vector<Value> items) {
  TERN_TRY(interpreter.spend(0, items.size() * sizeof(Value)));
  List made{std::move(items)};
  made.is_iterator = true;
  return Value(std::move(made));
}

// A key by which items are compared, counted before it is made. Many may be one long text.
Result<Value> folded(Interpreter& interpreter, const Value& value, bool with_case_kept) {
  TERN_TRY(interpreter.spend(1, value.measure().weight));
  return value.string() && !with_case_kept ? Value(with_case(*value.string(), false)) : value;
}

// Sorts by keys; equal ones stay as they are. Errors: of two keys without an order.
Result<void> sort_by(std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  std::optional<Error> failure;
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    auto order = compare(reverse ? b.first : a.first, reverse ? a.first : b.first);
    if (!order && !failure) failure = std::move(order.error());
    return order.ok() && *order < 0;
  });
  if (failure) return std::move(*failure);
  return {};
}

Result<Value> sort(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  TERN_TRY(interpreter.spend(16 * all.size()));
  const bool keeps_case = flag(given, 1, "case_sensitive", false);
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& one : all) {
    TERN_ASSIGN(const Value key, key_of(interpreter, one, given.find(2, "attribute")));
    TERN_ASSIGN(Value by, folded(interpreter, key, keeps_case));
    keyed.emplace_back(std::move(by), one);
  }
  TERN_TRY(sort_by(keyed, flag(given, 0, "reverse", false)));
  std::vector<Value> sorted;
  sorted.reserve(keyed.size());
  for (auto& [key, one] : keyed) sorted.push_back(std::move(one));
  return interpreter.made(std::move(sorted));
}

Result<Value> dict_sort(Interpreter& interpreter, const Value& of, const Arguments& given) {
  if (of.dict() == nullptr) return refused("expected a dictionary to sort");
  const bool keeps_case = flag(given, 0, "case_sensitive", false);
  TERN_ASSIGN(const std::string by, words(interpreter, given, 1, "by", "key"));
  if (by != "key" && by != "value") return refused("expected to sort by key or value");
  const bool by_value = by == "value";
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : of.dict()->items) {
    TERN_ASSIGN(Value sorted_by, folded(interpreter, by_value ? value : key, keeps_case));
    keyed.emplace_back(std::move(sorted_by), List{{key, value}, true});
  }
  TERN_TRY(interpreter.spend(16 * keyed.size(), 2 * keyed.size() * sizeof(Value)));
  TERN_TRY(sort_by(keyed, flag(given, 2, "reverse", false)));
  std::vector<Value> sorted;
  sorted.reserve(keyed.size());
  for (auto& [key, one] : keyed) sorted.push_back(std::move(one));
  return interpreter.made(std::move(sorted));
}

Result<Value> group_by(Interpreter& interpreter, const Value& of, const Arguments& given) {
  const Value* attribute = given.find(0, "attribute");
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& one : all) {
    TERN_ASSIGN(Value key, key_of(interpreter, one, attribute));
    if (const Value* otherwise = given.find(1, "default"); key.undefined() && otherwise) {
      key = *otherwise;
    }
    TERN_ASSIGN(Value by, folded(interpreter, key, flag(given, 2, "case_sensitive", false)));
    keyed.emplace_back(std::move(by), List{{key, one}});
  }
  TERN_TRY(interpreter.spend(16 * keyed.size(), 2 * keyed.size() * sizeof(Value)));
  TERN_TRY(sort_by(keyed, false));
  std::vector<Value> groups;
  for (std::size_t i = 0; i < keyed.size();) {
    const std::size_t first = i;
    List members;
    for (; i < keyed.size() && equal(keyed[i].first, keyed[first].first); ++i) {
      members.items.push_back(keyed[i].second.list()->items[1]);
    }
    const Value& grouper = keyed[first].second.list()->items[0];
    groups.emplace_back(List{{grouper, Value(std::move(members))}, true});
  }
  return interpreter.made(std::move(groups));
}

Result<Value> unique(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  std::vector<Value> seen;
  std::vector<Value> kept;
  for (const Value& one : all) {
    TERN_ASSIGN(Value key, key_of(interpreter, one, given.find(1, "attribute")));
    TERN_ASSIGN(key, folded(interpreter, key, flag(given, 0, "case_sensitive", false)));
    TERN_TRY(check_hashable(interpreter, key));
    TERN_TRY(interpreter.spend_on_search(key, seen.size()));
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& v) { return equal(v, key); }))
      continue;
    seen.push_back(std::move(key));
    kept.push_back(one);
  }
  return iterator(interpreter, std::move(kept));
}

template <bool kLargest>
Result<Value> extreme(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  const bool keeps_case = flag(given, 0, "case_sensitive", false);
  const Value* best = nullptr;
  Value best_key;
  for (const Value& one : all) {
    TERN_ASSIGN(Value key, key_of(interpreter, one, given.find(1, "attribute")));
    TERN_ASSIGN(key, folded(interpreter, key, keeps_case));
    if (best != nullptr) {
      TERN_ASSIGN(const int order, compare(key, best_key));
      if (kLargest ? order <= 0 : order >= 0) continue;
    }
    best = &one;
    best_key = std::move(key);
  }
  return best == nullptr ? Value(Undefined{"an empty sequence has no largest or smallest item"})
                         : *best;
}

Result<Value> sum(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  const Value* start = given.find(1, "start");
  Value total = start == nullptr ? Value(0) : *start;
  for (const Value& one : all) {
    TERN_ASSIGN(const Value key, key_of(interpreter, one, given.find(0, "attribute")));
    TERN_ASSIGN(total, binary(interpreter, "+", total, key));
  }
  return total;
}

// map(attribute=...), or map("filter", arguments of it...). As select and reject, it makes nothing
// of a value that is not true, whatever its type.
Result<Value> map(Interpreter& interpreter, const Value& of, const Arguments& given) {
  if (!of.truth()) return iterator(interpreter, std::vector<Value>{});
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  const Value* attribute = given.find(given.positional.size(), "attribute");
  const Value* otherwise = given.find(given.positional.size(), "default");
  if (attribute == nullptr && (given.positional.empty() || !given.positional[0].string())) {
    return refused("expected the name of a filter or attribute= in map()");
  }
  Arguments rest = given;
  if (attribute == nullptr) rest.positional.erase(rest.positional.begin());
  std::vector<Value> mapped;
  for (const Value& one : all) {
    if (attribute == nullptr) {
      TERN_TRY(interpreter.spend(rest.positional.size() + rest.named.size()));
      TERN_ASSIGN(Value value, apply_filter(interpreter, *given.positional[0].string(), one, rest));
      mapped.push_back(std::move(value));
      continue;
    }
    TERN_ASSIGN(Value value, key_of(interpreter, one, attribute));
    mapped.push_back(value.undefined() && otherwise ? *otherwise : std::move(value));
  }
  return iterator(interpreter, std::move(mapped));
}

// select, reject, and of an attribute: those items that a test lets pass; without one, their truth.
template <bool kKeep, bool kOfAttribute>
Result<Value> choose(Interpreter& interpreter, const Value& of, const Arguments& given) {
  if (!of.truth()) return iterator(interpreter, std::vector<Value>{});
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  Arguments rest = given;
  const auto take = [&rest] {
    if (rest.positional.empty()) return Value(Undefined{"argument"});
    Value first = rest.positional[0];
    rest.positional.erase(rest.positional.begin());
    return first;
  };
  const Value attribute = kOfAttribute ? take() : Value();
  if (attribute.undefined()) return refused("expected the name of an attribute");
  const Value test = take();
  std::vector<Value> kept;
  for (const Value& one : all) {
    TERN_ASSIGN(const Value value, key_of(interpreter, one, &attribute));
    bool holds = value.truth();
    if (!test.undefined()) {
      TERN_ASSIGN(const std::string name, interpreter.shown(test));
      TERN_ASSIGN(holds, apply_test(interpreter, name, value, rest));
    }
    if (holds == kKeep) kept.push_back(one);
  }
  return iterator(interpreter, std::move(kept));
}

Result<Value> batch(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  const Value* size = given.find(0, "linecount");
  if (size == nullptr) return refused("expected the number of items of a batch");
  const Value* fill = given.find(1, "fill_with");
  std::vector<Value> batches;
  List one;
  for (const Value& item : all) {
    // As jinja2 has it: what no number of items equals, none or -1, makes a single batch of all.
    if (equal(Value(one.items.size()), *size)) batches.emplace_back(std::exchange(one, {}));
    one.items.push_back(item);
  }
  if (!one.items.empty() && fill != nullptr && !fill->is_none()) {
    TERN_ASSIGN(const std::int64_t count, whole(given, 0, "linecount", 0));
    while (static_cast<std::int64_t>(one.items.size()) < count) {
      TERN_TRY(interpreter.spend(1, sizeof(Value)));
      one.items.push_back(*fill);
    }
  }
  if (!one.items.empty()) batches.emplace_back(std::move(one));
  return iterator(interpreter, std::move(batches));
}

Result<Value> join(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  TERN_ASSIGN(const std::string between, words(interpreter, given, 0, "d", ""));
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i) {
    TERN_ASSIGN(const Value value, key_of(interpreter, all[i], given.find(1, "attribute")));
    if (i > 0) text += between;
    TERN_ASSIGN(const std::string part, interpreter.shown(value));
    TERN_TRY(interpreter.spend(1, part.size() + between.size()));
    text += part;
  }
  return Value(std::move(text));
}

Result<Value> first(Interpreter& interpreter, const Value& of, const Arguments&) {
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  return all.empty() ? Value(Undefined{"an empty sequence has no first item"}) : all.front();
}
Result<Value> last(Interpreter& interpreter, const Value& of, const Arguments&) {
  if (of.list() && of.list()->is_iterator) return refused("expected a list, found an iterator");
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  return all.empty() ? Value(Undefined{"an empty sequence has no last item"}) : all.back();
}
Result<Value> length(Interpreter&, const Value& of, const Arguments&) {
  if (of.string()) return Value(character_count(*of.string()));
  if (of.list() && !of.list()->is_iterator) return Value(of.list()->items.size());
  if (of.dict()) return Value(of.dict()->items.size());
  if (of.undefined()) return Value(0);
  return refused("expected something that has a length, found a '" + of.type_name() + "'");
}
Result<Value> list(Interpreter& interpreter, const Value& of, const Arguments&) {
  TERN_ASSIGN(std::vector<Value> all, items_of(interpreter, of));
  return interpreter.made(std::move(all));
}
Result<Value> reverse(Interpreter& interpreter, const Value& of, const Arguments&) {
  if (of.string()) return slice(interpreter, of, std::nullopt, std::nullopt, -1);
  TERN_ASSIGN(std::vector<Value> all, items_of(interpreter, of));
  std::reverse(all.begin(), all.end());
  return iterator(interpreter, std::move(all));
}
Result<Value> pairs(Interpreter& interpreter, const Value& of, const Arguments& given) {
  if (of.undefined()) return iterator(interpreter, {});
  if (of.dict() == nullptr) return refused("expected a dictionary");
  TERN_ASSIGN(const Value function, attribute(interpreter, of, "items"));
  TERN_ASSIGN(const Value all, interpreter.call(function, given));
  return iterator(interpreter, all.list()->items);
}

}  // namespace

const Filters& sequence_filters() {
  static const Filters all{{"batch", batch},
                           {"count", length},
                           {"dictsort", dict_sort},
                           {"first", first},
                           {"groupby", group_by},
                           {"items", pairs},
                           {"join", join},
                           {"last", last},
                           {"length", length},
                           {"list", list},
                           {"map", map},
                           {"max", extreme<true>},
                           {"min", extreme<false>},
                           {"reject", choose<false, false>},
                           {"rejectattr", choose<false, true>},
                           {"reverse", reverse},
                           {"select", choose<true, false>},
                           {"selectattr", choose<true, true>},
                           {"sort", sort},
                           {"sum", sum},
                           {"unique", unique}};
  return all;
}

}  // namespace tern::text::jinja
