#include "diagnose/measure/steal.h"

#include <array>
#include <charconv>
#include <fstream>
#include <string>

namespace tern::diagnose {
namespace {

// user nice system idle iowait irq softirq steal; guest and guest_nice are in user and nice.
constexpr std::size_t kFields = 8;
constexpr std::size_t kSteal = 7;

}  // namespace

std::optional<CpuTime> parse_cpu_time(std::string_view proc_stat) {
  constexpr std::string_view kPrefix = "cpu ";
  if (!proc_stat.starts_with(kPrefix)) return std::nullopt;
  std::string_view line = proc_stat.substr(kPrefix.size());
  line = line.substr(0, line.find('\n'));
  std::array<std::uint64_t, kFields> fields{};
  for (std::uint64_t& field : fields) {
    const std::size_t start = line.find_first_not_of(' ');
    if (start == std::string_view::npos) return std::nullopt;
    line.remove_prefix(start);
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), field);
    if (error != std::errc{}) return std::nullopt;
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  }
  CpuTime time;
  for (const std::uint64_t field : fields) time.total += field;
  time.stolen = fields[kSteal];
  return time;
}

std::optional<CpuTime> read_cpu_time(const std::filesystem::path& root) {
  std::ifstream file(root / "proc/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return parse_cpu_time(line);
}

double stolen_share(const CpuTime& before, const CpuTime& after) {
  if (after.total <= before.total || after.stolen <= before.stolen) return 0.0;
  return static_cast<double>(after.stolen - before.stolen) /
         static_cast<double>(after.total - before.total);
}

}  // namespace tern::diagnose
