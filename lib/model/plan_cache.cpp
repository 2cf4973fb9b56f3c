#include "lib/model/plan_cache.hpp"

#include "lib/model/dnnl.hpp"

#include <cleave/core/file.hpp>
#include <cleave/core/hash.hpp>
#include <cleave/core/version.hpp>
#include <cleave/model/model.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace cleave::inline v0::model {
namespace {

constexpr const char* heading = "cleave plan 1";
constexpr std::size_t largest_file = std::size_t{16} << 20;

// "model name" of /proc/cpuinfo (Linux, Documentation/filesystems/proc.rst); "" where there is
// none.
std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name"))
      return line.substr(line.find(':') + 1);
  }
  return "";
}

std::filesystem::path path_of(const std::string& key, const std::filesystem::path& folder) {
  char name[24];
  std::snprintf(name, sizeof name, "%016llx.plan",
                static_cast<unsigned long long>(core::hash_text(key)));
  return folder / name;
}

}  // namespace

std::string machine_and_libraries() {
  static const std::string text = "cleave " + std::string(core::version()) + " libtorch " +
                                  torch_version() + " onednn " + dnn::version() + " processor" +
                                  processor();
  return text;
}

std::optional<std::vector<std::string>> read_choices(const std::string& key,
                                                     const std::filesystem::path& folder) {
  if (folder.empty())
    return std::nullopt;
  const auto text = core::read_text(path_of(key, folder), largest_file);
  if (!text)
    return std::nullopt;
  std::istringstream file(*text);
  std::string line;
  if (!std::getline(file, line) || line != heading || !std::getline(file, line) || line != key)
    return std::nullopt;
  std::vector<std::string> names;
  while (std::getline(file, line) && line != "end") names.push_back(line);
  if (line != "end")
    return std::nullopt;
  return names;
}

void write_choices(const std::string& key, const std::filesystem::path& folder,
                   const std::vector<std::string>& names) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  std::string text = std::string(heading) + '\n' + key + '\n';
  for (const std::string& name : names) text += name + '\n';
  text += "end\n";
  (void)core::write_file(path_of(key, folder), std::string_view(text));
}

std::filesystem::path default_plan_cache() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
    return std::filesystem::path(cache) / "cleave" / "plans";
  if (const char* home = std::getenv("HOME"); home && *home)
    return std::filesystem::path(home) / ".cache" / "cleave" / "plans";
  return {};
}

}  // namespace cleave::inline v0::model
