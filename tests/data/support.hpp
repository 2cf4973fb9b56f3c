// Files for the tests of data, made from scratch.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace cleave::tests {

/// A folder of its own, removed afterwards.
class WithFolder : public testing::Test {
 protected:
  WithFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "cleave-data-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~WithFolder() override { std::filesystem::remove_all(folder_); }
  /// Writes bytes and gives the path.
  std::filesystem::path put(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::filesystem::path folder_;
};

/// An IDX file of unsigned bytes.
inline std::string idx(const std::vector<std::uint32_t>& sizes, const std::string& values) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  for (const std::uint32_t size : sizes)
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift);
  return bytes + values;
}

/// A .npy file of version 1 with the header given.
inline std::string npy(const std::string& header, const std::string& values) {
  std::string bytes = "\x93NUMPY";
  bytes += '\x01';
  bytes += '\0';
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + values;
}

}  // namespace cleave::tests
