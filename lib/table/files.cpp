#include "lib/table/archive.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/file.hpp>
#include <cleave/core/hash.hpp>
#include <cleave/table/files.hpp>

#include <cstring>
#include <sstream>
#include <streambuf>

namespace cleave::inline v0::table {
namespace {

using core::Errc;
using core::fail;
using core::Result;

struct Kind {
  std::string_view magic;
  std::string_view name;
  std::uint32_t version;
};
constexpr Kind profile_kind{"CLVPROF1", "profile", profile_format_version};
constexpr Kind table_kind{"CLVTABL1", "table", table_format_version};
constexpr std::size_t header_size = 8 + 4 + 8 + 8;

// An istream over bytes that are already in memory.
class ByteBuffer final : public std::streambuf {
 public:
  explicit ByteBuffer(std::span<const std::byte> bytes) {
    // streambuf's get area is not const by its type; nothing here writes to it.
    auto* begin = const_cast<char*>(reinterpret_cast<const char*>(bytes.data()));
    setg(begin, begin, begin + bytes.size());
  }
  [[nodiscard]] bool at_end() const { return gptr() == egptr(); }
};

template <class T>
Result<T> load(const std::filesystem::path& path, const Kind& kind) {
  const auto file = core::read_file(path, file_size_limit);
  if (!file)
    return fail(file);
  const std::string where = path.string();
  const std::string name(kind.name);
  core::ByteReader reader(*file);
  const auto magic = reader.take(kind.magic.size());
  const auto version = reader.get<std::uint32_t>();
  const auto size = reader.get<std::uint64_t>();
  const auto checksum = reader.get<std::uint64_t>();
  if (magic.empty() || std::memcmp(magic.data(), kind.magic.data(), kind.magic.size()) != 0)
    return fail(Errc::corrupt, "not a cleave " + name, where,
                "it was not written by cleave, or its first bytes are damaged");
  if (!reader.ok() || version == 0)
    return fail(Errc::corrupt, "the header of this " + name + " is damaged", where,
                "make it again");
  if (version > kind.version)
    return fail(Errc::version,
                "this " + name + " has format " + std::to_string(version) +
                    ", and this cleave reads up to " + std::to_string(kind.version),
                where, "use a newer cleave, or make the " + name + " again");
  if (size != reader.rest().size())
    return fail(Errc::corrupt,
                "this " + name + " should hold " + std::to_string(size) +
                    " bytes after its header, not " + std::to_string(reader.rest().size()),
                where, "it was cut short or added to; make it again");
  if (checksum != core::hash_bytes(reader.rest()))
    return fail(Errc::corrupt, "the checksum of this " + name + " does not fit", where,
                "its bytes are damaged; make it again");
  T value;
  try {
    ByteBuffer buffer(reader.rest());
    std::istream stream(&buffer);
    cereal::PortableBinaryInputArchive archive(stream);
    Layout(archive, version).fields(value);
    if (!buffer.at_end())
      return fail(Errc::corrupt, "this " + name + " has bytes after its end", where);
  } catch (const std::exception& e) {  // cereal::Exception, std::bad_alloc
    return fail(Errc::corrupt, "this " + name + " cannot be read: " + e.what(), where);
  }
  if (const auto valid = validate(value); !valid)
    return fail(Errc::corrupt,
                "the contents of this " + name + " do not fit together: " + valid.error().message(),
                where);
  return value;
}

template <class T>
Result<void> store(const T& value, const std::filesystem::path& path, const Kind& kind) {
  if (const auto valid = validate(value); !valid)
    return fail(valid);
  std::ostringstream stream;
  {
    cereal::PortableBinaryOutputArchive archive(
        stream, cereal::PortableBinaryOutputArchive::Options::LittleEndian());
    Layout(archive, kind.version).fields(value);
  }
  const std::string payload = std::move(stream).str();
  const auto bytes = std::as_bytes(std::span(payload.data(), payload.size()));
  if (header_size + bytes.size() > file_size_limit)
    return fail(Errc::exhausted, "too large to be read again", path.string());
  std::vector<std::byte> file;
  file.reserve(header_size + bytes.size());
  core::ByteWriter writer(file);
  writer.put_bytes(std::as_bytes(std::span(kind.magic.data(), kind.magic.size())));
  writer.put(kind.version);
  writer.put(static_cast<std::uint64_t>(bytes.size()));
  writer.put(core::hash_bytes(bytes));
  writer.put_bytes(bytes);
  return core::write_file(path, file);
}

}  // namespace

Result<Profile> load_profile(const std::filesystem::path& path) {
  return load<Profile>(path, profile_kind);
}

Result<ParetoTable> load_table(const std::filesystem::path& path) {
  return load<ParetoTable>(path, table_kind);
}

Result<void> save(const Profile& profile, const std::filesystem::path& path) {
  return store(profile, path, profile_kind);
}

Result<void> save(const ParetoTable& table, const std::filesystem::path& path) {
  return store(table, path, table_kind);
}

}  // namespace cleave::inline v0::table
