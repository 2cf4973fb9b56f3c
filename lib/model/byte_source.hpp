// Where a model file's bytes are read from: an open file, or memory.
#pragma once

#include <cleave/core/result.hpp>

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace cleave::inline v0::model {

/// Bytes that can be read from any offset. Thread-safe.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// False if the bytes are not all there.
  virtual bool read(std::uint64_t offset, std::span<std::byte> into) const = 0;
};

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  bool read(std::uint64_t offset, std::span<std::byte> into) const override;

 private:
  std::span<const std::byte> bytes_;
};

/// One open descriptor from the first check to the last read: a file that is renamed into its
/// place in between is not the one that was checked.
class FileSource final : public ByteSource {
 public:
  /// Errc::not_found, permission_denied, io, corrupt (not a regular file).
  static core::Result<std::shared_ptr<const FileSource>> open(const std::filesystem::path& path);
  explicit FileSource(int fd, const struct stat& status) : fd_(fd), opened_(status) {}
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  [[nodiscard]] std::uint64_t size() const override {
    return static_cast<std::uint64_t>(opened_.st_size);
  }
  bool read(std::uint64_t offset, std::span<std::byte> into) const override;
  [[nodiscard]] int fd() const { return fd_; }
  /// Nobody has written to it since it was opened, by its size and times.
  [[nodiscard]] bool unchanged() const;

 private:
  int fd_;
  struct stat opened_;
};

}  // namespace cleave::inline v0::model
