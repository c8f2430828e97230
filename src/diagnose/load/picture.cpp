#include "diagnose/load/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::diagnose {
namespace {

constexpr double kWidth = 1100;
constexpr double kHeight = 470;
constexpr double kTop = 84;
constexpr double kBottom = 410;
constexpr const char* kGrid = "#e2e8f0";
constexpr const char* kFirst = "#c2410c";
constexpr const char* kBetween = "#1d4ed8";
constexpr const char* kWhole = "#047857";
constexpr std::size_t kMostPoints = 400;  // of a curve

struct Point {
  double x;
  double y;
};

// A field of the picture with an axis to the right, of seconds, and one upwards.
struct Field {
  double left;
  double right;
  double low;   // at the left edge; of a logarithmic axis its power of ten
  double high;  // at the right edge, likewise
  bool logarithmic;
  double most;  // at the upper edge, 0 being the lower one

  double x(double value) const {
    const double at = logarithmic ? std::log10(std::max(value, 1e-9)) : value;
    return left + std::clamp((at - low) / (high - low), 0.0, 1.0) * (right - left);
  }
  double y(double value) const {
    return kBottom - std::clamp(value / most, 0.0, 1.0) * (kBottom - kTop);
  }
};

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      default: safe += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return safe;
}

std::string label(double x, double y, std::string_view words, std::string_view style = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, style, escaped(words));
}

std::string line(Point a, Point b, std::string_view style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", a.x,
                     a.y, b.x, b.y, style);
}

std::string curve(const Field& field, const std::vector<Point>& points, std::string_view colour) {
  std::string path;
  for (const Point& point : points) {
    path += fmt::format("{:.1f},{:.1f} ", field.x(point.x), field.y(point.y));
  }
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                     path, colour);
}

std::string seconds_text(double seconds) {
  return seconds < 1.0 ? fmt::format("{:g} ms", seconds * 1e3) : fmt::format("{:g} s", seconds);
}

// A round step that divides `range` into about `parts`.
double round_step(double range, double parts) {
  const double raw = std::max(range, 1e-9) / parts;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10.0 * power;
}

// ---- How many waited how long

struct Waits {
  std::vector<double> first, between, whole;  // ascending

  Waits(const LoadOutcome& outcome, std::uint64_t warmup) {
    for (const RequestOutcome& request : outcome.requests) {
      if (request.index < warmup || !request.failure.empty()) continue;
      whole.push_back(request.ended - request.intended);
      if (!request.pieces.empty()) first.push_back(request.pieces.front() - request.intended);
      for (std::size_t i = 1; i < request.pieces.size(); ++i) {
        between.push_back(request.pieces[i] - request.pieces[i - 1]);
      }
    }
    for (auto* values : {&first, &between, &whole}) std::sort(values->begin(), values->end());
  }
};

std::vector<Point> shares(const std::vector<double>& ascending) {
  std::vector<Point> points;
  const std::size_t step = ascending.size() / kMostPoints + 1;
  for (std::size_t i = 0; i < ascending.size(); i += step) {
    points.push_back(
        {ascending[i], static_cast<double>(i) / static_cast<double>(ascending.size())});
  }
  if (!ascending.empty()) points.push_back({ascending.back(), 1.0});
  return points;
}

// From the power of ten below the shortest wait to the one above the longest, and above the limits.
Field waits_field(const Waits& waits, const Slo& slo) {
  double least = 1e9;
  double most = 0.0;
  for (const auto* values : {&waits.first, &waits.between, &waits.whole}) {
    // What came together with the piece before it has no place on such an axis.
    const auto first = std::upper_bound(values->begin(), values->end(), 0.0);
    if (first == values->end()) continue;
    least = std::min(least, *first);
    most = std::max(most, values->back());
  }
  for (const auto& limit : {slo.first_token, slo.between_tokens}) {
    if (limit) most = std::max(most, *limit);
  }
  if (most == 0.0) most = 1.0;
  least = std::min(least, most);
  const double low = std::floor(std::log10(std::max(least, 1e-5)));
  return {80, 530, low, std::max(std::ceil(std::log10(most)), low + 1), true, 1.0};
}

std::string draw_waits(const Waits& waits, const Slo& slo) {
  const Field field = waits_field(waits, slo);
  std::string text;
  for (double power = field.low; power <= field.high; ++power) {
    const double value = std::pow(10.0, power);
    text += line({field.x(value), kTop}, {field.x(value), kBottom},
                 fmt::format("stroke=\"{}\"", kGrid));
    text += label(field.x(value), kBottom + 20, seconds_text(value), "text-anchor=\"middle\"");
  }
  for (const double share : {0.0, 0.25, 0.5, 0.75, 0.95, 1.0}) {
    text += line({field.left, field.y(share)}, {field.right, field.y(share)},
                 fmt::format("stroke=\"{}\"", kGrid));
    text += label(field.left - 8, field.y(share) + 5, fmt::format("{:.0f}%", 100 * share),
                  "text-anchor=\"end\"");
  }
  for (const auto& [limit, colour] :
       {std::pair(slo.first_token, kFirst), std::pair(slo.between_tokens, kBetween)}) {
    if (!limit) continue;
    text += line({field.x(*limit), kTop}, {field.x(*limit), kBottom},
                 fmt::format("stroke=\"{}\" stroke-dasharray=\"5 4\"", colour));
  }
  text += curve(field, shares(waits.between), kBetween);
  text += curve(field, shares(waits.first), kFirst);
  text += curve(field, shares(waits.whole), kWhole);
  text +=
      label((field.left + field.right) / 2, kBottom + 44,
            slo.first_token || slo.between_tokens ? "waited at most so long (dashed: the limits)"
                                                  : "waited at most so long",
            "text-anchor=\"middle\"");
  return text;
}

// ---- Over time

struct Course {
  double end = 1.0;
  double step = 1.0;
  std::vector<double> rate;      // tokens a second in each step
  std::vector<Point> first;      // when a request was to be sent, and how long its first token took
  std::vector<double> failures;  // when a request that failed was to be sent
};

Course course_of(const LoadOutcome& outcome) {
  Course course;
  for (const RequestOutcome& request : outcome.requests) {
    course.end = std::max(course.end, request.ended);
  }
  course.step = round_step(course.end, 60);
  course.rate.assign(static_cast<std::size_t>(course.end / course.step) + 1, 0.0);
  for (const RequestOutcome& request : outcome.requests) {
    if (!request.failure.empty()) course.failures.push_back(request.intended);
    if (request.pieces.empty()) continue;
    const double tokens = request.output_tokens == 0
                              ? 1.0
                              : static_cast<double>(request.output_tokens) /
                                    static_cast<double>(request.pieces.size());
    for (const double at : request.pieces) {
      course.rate[static_cast<std::size_t>(std::max(at, 0.0) / course.step)] +=
          tokens / course.step;
    }
    if (request.failure.empty()) {
      course.first.push_back({request.intended, request.pieces.front() - request.intended});
    }
  }
  return course;
}

std::string axis(const Field& field, bool right, std::string_view colour, std::string_view unit) {
  std::string text;
  const double step = round_step(field.most, 5);
  for (double value = 0.0; value <= field.most * 1.0001; value += step) {
    const double x = right ? field.right + 8 : field.left - 8;
    const std::string words = unit.empty() ? fmt::format("{:g}", value) : seconds_text(value);
    text += label(x, field.y(value) + 5, words,
                  fmt::format("text-anchor=\"{}\" fill=\"{}\"", right ? "start" : "end", colour));
    if (right) continue;
    text += line({field.left, field.y(value)}, {field.right, field.y(value)},
                 fmt::format("stroke=\"{}\"", kGrid));
  }
  return text;
}

std::string draw_course(const Course& course) {
  Field rates{630, 1030, 0, course.end, false, 1.0};
  Field waits = rates;
  for (const double rate : course.rate) rates.most = std::max(rates.most, rate);
  waits.most = 1e-3;
  for (const Point& point : course.first) waits.most = std::max(waits.most, point.y);
  std::string text = axis(rates, false, "#0f172a", "") + axis(waits, true, kFirst, "s");
  const double step = round_step(course.end, 5);
  for (double at = 0.0; at <= course.end * 1.0001; at += step) {
    text += label(rates.x(at), kBottom + 20, fmt::format("{:g}", at), "text-anchor=\"middle\"");
  }
  const std::size_t every = course.first.size() / 2000 + 1;
  for (std::size_t i = 0; i < course.first.size(); i += every) {
    text +=
        fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2\" fill=\"{}\" opacity=\"0.6\"/>\n",
                    waits.x(course.first[i].x), waits.y(course.first[i].y), kFirst);
  }
  std::vector<Point> steps;
  for (std::size_t i = 0; i < course.rate.size(); ++i) {
    const double begin = static_cast<double>(i) * course.step;
    steps.push_back({begin, course.rate[i]});
    steps.push_back({begin + course.step, course.rate[i]});
  }
  text += curve(rates, steps, "#0f172a");
  for (const double at : course.failures) {
    text += label(rates.x(at), kBottom - 2, "x", "text-anchor=\"middle\" fill=\"#b91c1c\"");
  }
  text += label((rates.left + rates.right) / 2, kBottom + 44, "seconds since the load began",
                "text-anchor=\"middle\"");
  text += label(rates.left, kTop - 14, "tokens/s");
  text += label(rates.right, kTop - 14, "first token of requests of that time",
                fmt::format("text-anchor=\"end\" fill=\"{}\"", kFirst));
  if (!course.failures.empty()) {
    text += label(rates.left + 90, kTop - 14, "x failed", "fill=\"#b91c1c\"");
  }
  return text;
}

std::string legend() {
  std::string text;
  double x = 80;
  for (const auto& [words, colour] :
       {std::pair("between tokens", kBetween), std::pair("first token", kFirst),
        std::pair("whole answer", kWhole)}) {
    text += label(x, kTop - 14, words, fmt::format("fill=\"{}\"", colour));
    x += 130;
  }
  return text;
}

}  // namespace

std::string draw_load(const LoadOutcome& outcome, const LoadReport& report) {
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" "
      "font-size=\"14\" fill=\"#0f172a\">\n<rect width=\"{}\" height=\"{}\" fill=\"white\"/>\n",
      kWidth, kHeight, kWidth, kHeight);
  const std::string load = report.rate ? fmt::format("{:g} requests/s", *report.rate)
                                       : fmt::format("{} clients", report.clients);
  text += label(80, 32,
                fmt::format("{}: {}, prompts {}{}, answers {}", report.model, load,
                            report.plan.shared > 0 ? fmt::format("{} + ", report.plan.shared) : "",
                            report.plan.prompt.to_string(), report.plan.output.to_string()),
                "font-size=\"18\"");
  text += legend();
  text += draw_waits(Waits(outcome, report.warmup), report.slo);
  text += draw_course(course_of(outcome));
  return text + "</svg>\n";
}

}  // namespace tern::diagnose
