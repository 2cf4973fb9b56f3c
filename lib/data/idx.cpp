#include "lib/data/gzip.hpp"

#include <cleave/core/file.hpp>
#include <cleave/data/idx.hpp>

#include <cstring>

namespace cleave::inline v0::data {

using core::Errc;
using core::fail;
using core::Result;

Result<core::Tensor> load_idx(const std::filesystem::path& path) {
  const std::string where = path.string();
  auto file = core::read_file(path, idx_size_limit);
  if (!file)
    return fail(file);
  if (is_gzip(*file)) {
    file = gunzip(*file, idx_size_limit, where);
    if (!file)
      return fail(file);
  }
  const std::vector<std::byte>& bytes = *file;
  const auto at = [&](std::size_t i) { return std::to_integer<std::uint32_t>(bytes[i]); };
  if (bytes.size() < 4 || at(0) != 0 || at(1) != 0)
    return fail(Errc::corrupt, "not an IDX file", where);
  if (at(2) != 0x08)
    return fail(
        Errc::unsupported,
        "IDX elements of type " + std::to_string(at(2)) + "; only unsigned bytes (8) are read",
        where);
  const std::size_t dimensions = at(3);
  if (dimensions < 1 || dimensions > 4)
    return fail(Errc::unsupported, "an IDX file of " + std::to_string(dimensions) + " dimensions",
                where);
  const std::size_t header = 4 + 4 * dimensions;
  if (bytes.size() < header)
    return fail(Errc::corrupt, "the IDX header is cut short", where);
  std::vector<std::int64_t> sizes;
  std::uint64_t expected = 1;
  for (std::size_t d = 0; d < dimensions; ++d) {
    const std::size_t p = 4 + 4 * d;
    const std::uint32_t size = at(p) << 24 | at(p + 1) << 16 | at(p + 2) << 8 | at(p + 3);
    sizes.push_back(size);
    if (__builtin_mul_overflow(expected, std::uint64_t{size}, &expected))
      expected = UINT64_MAX;
  }
  if (expected != bytes.size() - header)
    return fail(Errc::corrupt,
                "the IDX header speaks of " + std::to_string(expected) + " values, but there are " +
                    std::to_string(bytes.size() - header),
                where);
  core::Tensor tensor = core::empty_tensor(core::DType::uint8, std::move(sizes));
  if (expected > 0)
    std::memcpy(tensor.data(), bytes.data() + header, expected);
  return tensor;
}

}  // namespace cleave::inline v0::data
