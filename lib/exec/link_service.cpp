#include <cleave/core/bytes.hpp>
#include <cleave/exec/link_service.hpp>

namespace cleave::inline v0::exec {

core::Result<std::vector<std::byte>> answer_source(std::span<const std::byte> request) {
  core::ByteReader reader(request);
  const auto count = reader.get<std::uint64_t>();
  if (!reader.finished())
    return core::fail(core::Errc::corrupt, "malformed link request");
  if (count > source_limit)
    return core::fail(core::Errc::exhausted, "more bytes asked for than this host sends");
  return std::vector<std::byte>(static_cast<std::size_t>(count));
}

}  // namespace cleave::inline v0::exec
