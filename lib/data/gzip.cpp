#include "lib/data/gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace cleave::inline v0::data {

using core::Errc;
using core::fail;
using core::Result;

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

Result<std::vector<std::byte>> gunzip(std::span<const std::byte> bytes, std::size_t limit,
                                      const std::string& where) {
  struct Inflater {
    z_stream stream{};
    ~Inflater() { inflateEnd(&stream); }
  } inflater;
  z_stream& stream = inflater.stream;
  constexpr int gzip_only = 16;
  if (inflateInit2(&stream, MAX_WBITS + gzip_only) != Z_OK)
    return fail(Errc::internal, "zlib could not be started", where);
  std::vector<std::byte> out;
  std::size_t used = 0;
  std::size_t taken = 0;
  constexpr std::size_t step = std::numeric_limits<uInt>::max() / 2;
  while (true) {
    if (used == out.size()) {
      if (used > limit)
        return fail(Errc::exhausted, "more than " + std::to_string(limit) + " bytes when unpacked",
                    where);
      // deflate reaches 1032:1; growing as needed believes no size that the file claims.
      out.resize(std::min(std::max<std::size_t>(2 * used, std::size_t{1} << 16), limit + 1));
    }
    const std::size_t in = std::min(bytes.size() - taken, step);
    const std::size_t room = std::min(out.size() - used, step);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data() + taken));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(room);
    const int status = inflate(&stream, Z_NO_FLUSH);
    taken += in - stream.avail_in;
    const std::size_t produced = room - stream.avail_out;
    used += produced;
    if (status == Z_STREAM_END)
      break;
    if (status != Z_OK || (produced == 0 && in == stream.avail_in))
      return fail(Errc::corrupt, "the gzip stream is damaged or cut short", where);
  }
  if (used > limit)
    return fail(Errc::exhausted, "more than " + std::to_string(limit) + " bytes when unpacked",
                where);
  if (taken != bytes.size())
    return fail(Errc::corrupt, "there are bytes after the end of the gzip stream", where);
  out.resize(used);
  return out;
}

}  // namespace cleave::inline v0::data
