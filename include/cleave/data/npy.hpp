// NumPy's .npy files: one array each.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::data {

/// Larger files are refused unread.
inline constexpr std::size_t npy_size_limit = std::size_t{4} << 30;

/// Reads format versions 1 to 3 (numpy.lib.format), little-endian, of every dtype that core::DType
/// has but bfloat16, in row-major or Fortran order; the tensor is contiguous and row-major.
/// Errors: core::read_file's, corrupt, unsupported (other dtypes, big-endian), exhausted.
CLEAVE_EXPORT core::Result<core::Tensor> load_npy(const std::filesystem::path& path);
/// The same of bytes in memory; `where` names them in errors.
CLEAVE_EXPORT core::Result<core::Tensor> parse_npy(std::span<const std::byte> bytes,
                                                   const std::string& where);

/// Writes version 1.0, row-major, atomically. Errors: core::write_file's, unsupported (bfloat16:
/// NumPy has none).
CLEAVE_EXPORT core::Result<void> save_npy(const core::Tensor& tensor,
                                          const std::filesystem::path& path);
/// What save_npy() writes.
CLEAVE_EXPORT core::Result<std::vector<std::byte>> npy_bytes(const core::Tensor& tensor);

}  // namespace cleave::inline v0::data
