// Lines of comma-separated fields: numbers, labels, file names.
#pragma once

#include <cleave/core/result.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace cleave::inline v0::data {

inline constexpr std::size_t csv_size_limit = std::size_t{1} << 30;

/// "class,value,value,...": the values of all lines one after the other.
struct CsvInputs {
  std::vector<std::int32_t> labels;
  std::size_t width = 0;  ///< values a line
  std::vector<float> values;
};
core::Result<CsvInputs> read_csv_inputs(const std::filesystem::path& path);

/// The last field of every line.
core::Result<std::vector<std::int32_t>> read_csv_labels(const std::filesystem::path& path);

/// "file,class": the class by file name.
core::Result<std::map<std::string, std::int32_t>> read_csv_named_labels(
    const std::filesystem::path& path);

}  // namespace cleave::inline v0::data
