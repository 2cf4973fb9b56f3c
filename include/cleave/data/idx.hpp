// The IDX files of MNIST and its relatives, plain or gzipped.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>

#include <cstddef>
#include <filesystem>

namespace cleave::inline v0::data {

/// More bytes than this, compressed or not, are refused.
inline constexpr std::size_t idx_size_limit = std::size_t{1} << 30;

/// A contiguous uint8 tensor of the file's dimensions (1 to 4). Format: two zero bytes, the type
/// (0x08: unsigned byte), the number of dimensions, each as a big-endian u32, then the values.
/// Errors: core::read_file's, corrupt (also a damaged or cut gzip stream, or bytes after the end),
/// unsupported (other element types), exhausted.
CLEAVE_EXPORT core::Result<core::Tensor> load_idx(const std::filesystem::path& path);

}  // namespace cleave::inline v0::data
