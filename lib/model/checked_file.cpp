#include "lib/model/checked_file.hpp"

#include <cleave/core/bytes.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::model {
namespace {

using core::ByteReader;
using core::Errc;
using core::fail;
using core::Result;

constexpr std::uint32_t local_signature = 0x04034b50;
constexpr std::uint32_t central_signature = 0x02014b50;
constexpr std::uint32_t end_signature = 0x06054b50;
constexpr std::uint32_t zip64_end_signature = 0x06064b50;
constexpr std::uint32_t zip64_locator_signature = 0x07064b50;
constexpr std::uint64_t local_size = 30, central_size = 46, end_size = 22, zip64_end_size = 56,
                        zip64_locator_size = 20;
constexpr std::uint32_t in_zip64 = 0xffffffff;
constexpr std::uint16_t stored = 0, deflated = 8;  // compression methods (4.4.5)
constexpr std::uint16_t descriptor_follows = 1u << 3;
constexpr std::uint64_t largest_directory = std::uint64_t{256} << 20;

class File {
 public:
  explicit File(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

  /// False if the bytes are not all there.
  bool read(std::uint64_t offset, std::span<std::byte> into) const {
    while (!into.empty()) {
      const ssize_t got = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        return false;
      offset += static_cast<std::uint64_t>(got);
      into = into.subspan(static_cast<std::size_t>(got));
    }
    return true;
  }

 private:
  int fd_;
};

struct Entry {
  std::string name;
  std::uint16_t flags = 0, method = 0;
  std::uint32_t crc = 0;
  std::uint64_t stored = 0, size = 0, header = 0;
};

class Checker {
 public:
  Checker(const File& file, std::uint64_t size, std::string where)
      : file_(file), size_(size), where_(std::move(where)) {}

  Result<void> run() {
    if (auto found = find_directory(); !found)
      return found;
    if (auto read = read_directory(); !read)
      return read;
    std::vector<std::byte> buffer(std::size_t{1} << 20);
    for (const Entry& entry : entries_) {
      if (auto checked = check(entry, buffer); !checked)
        return checked;
    }
    return check_names();
  }

 private:
  [[nodiscard]] tl::unexpected<core::Error> damaged(const std::string& what) const {
    return fail(Errc::corrupt, "the model file is damaged: " + what, where_,
                "copy or export it again");
  }
  [[nodiscard]] tl::unexpected<core::Error> not_a_model(const std::string& what) const {
    return fail(Errc::corrupt, "not a TorchScript model: " + what, where_,
                "export one with torch.jit.script(model).save(path)");
  }

  Result<std::vector<std::byte>> bytes(std::uint64_t offset, std::uint64_t count) const {
    if (offset > size_ || count > size_ - offset)
      return damaged("it points past its own end");
    std::vector<std::byte> result(count);
    if (!file_.read(offset, result))
      return fail(Errc::io, "cannot read the file", where_);
    return result;
  }

  // Finds the end record (4.3.16), which a comment of at most 64 KiB may follow.
  Result<void> find_directory() {
    const std::uint64_t tail_size = std::min<std::uint64_t>(size_, end_size + 0xffff);
    auto tail = bytes(size_ - tail_size, tail_size);
    if (!tail)
      return fail(tail);
    std::uint32_t start = 0;
    if (tail->size() >= 4)
      start = ByteReader(*bytes(0, 4)).get<std::uint32_t>();
    for (std::uint64_t i = tail_size < end_size ? 0 : tail_size - end_size + 1; i-- > 0;) {
      ByteReader reader(std::span<const std::byte>(*tail).subspan(i));
      if (reader.get<std::uint32_t>() != end_signature)
        continue;
      reader.take(6);  // disks, and the entries on this one
      count_ = reader.get<std::uint16_t>();
      directory_size_ = reader.get<std::uint32_t>();
      directory_ = reader.get<std::uint32_t>();
      if (reader.get<std::uint16_t>() != tail_size - i - end_size || !reader.ok())
        continue;
      return find_zip64_directory(size_ - tail_size + i);
    }
    if (start == local_signature)
      return fail(Errc::corrupt, "the model file is truncated: its directory is missing", where_,
                  "copy or export it again");
    return not_a_model(size_ == 0 ? "the file is empty" : "not a zip archive");
  }

  Result<void> find_zip64_directory(std::uint64_t end) {
    if (end >= zip64_locator_size) {
      auto locator = bytes(end - zip64_locator_size, zip64_locator_size);
      if (!locator)
        return fail(locator);
      ByteReader reader(*locator);
      if (reader.get<std::uint32_t>() == zip64_locator_signature) {
        reader.take(4);
        const auto at = reader.get<std::uint64_t>();
        auto record = bytes(at, zip64_end_size);
        if (!record)
          return fail(record);
        ByteReader fields(*record);
        if (fields.get<std::uint32_t>() != zip64_end_signature)
          return damaged("its zip64 end record is missing");
        fields.take(28);
        count_ = fields.get<std::uint64_t>();
        directory_size_ = fields.get<std::uint64_t>();
        directory_ = fields.get<std::uint64_t>();
      }
    }
    if (directory_ > end || directory_size_ > end - directory_)
      return damaged("its directory lies outside the file");
    if (directory_size_ > largest_directory)
      return fail(Errc::exhausted, "the model file's directory is larger than 256 MiB", where_);
    return {};
  }

  Result<void> read_directory() {
    auto directory = bytes(directory_, directory_size_);
    if (!directory)
      return fail(directory);
    ByteReader reader(*directory);
    while (!reader.rest().empty()) {
      if (reader.get<std::uint32_t>() != central_signature)
        return damaged("its directory is garbled");
      Entry entry;
      reader.take(4);
      entry.flags = reader.get<std::uint16_t>();
      entry.method = reader.get<std::uint16_t>();
      reader.take(4);
      entry.crc = reader.get<std::uint32_t>();
      entry.stored = reader.get<std::uint32_t>();
      entry.size = reader.get<std::uint32_t>();
      const auto name_size = reader.get<std::uint16_t>();
      const auto extra_size = reader.get<std::uint16_t>();
      const auto comment_size = reader.get<std::uint16_t>();
      reader.take(8);
      entry.header = reader.get<std::uint32_t>();
      const auto name = reader.take(name_size);
      entry.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
      read_zip64(reader.take(extra_size), entry);
      reader.take(comment_size);
      if (!reader.ok())
        return damaged("its directory is garbled");
      entries_.push_back(std::move(entry));
    }
    if (entries_.size() != count_)
      return damaged("its directory does not hold as many entries as it says");
    return {};
  }

  // The zip64 extra field (4.5.3) holds, in this order, those numbers that did not fit.
  static void read_zip64(std::span<const std::byte> extra, Entry& entry) {
    ByteReader reader(extra);
    while (reader.rest().size() >= 4) {
      const auto tag = reader.get<std::uint16_t>();
      ByteReader field(reader.take(reader.get<std::uint16_t>()));
      if (tag != 1)
        continue;
      for (std::uint64_t* number : {&entry.size, &entry.stored, &entry.header}) {
        if (*number == in_zip64)
          *number = field.get<std::uint64_t>();
      }
    }
  }

  Result<void> check(const Entry& entry, std::vector<std::byte>& buffer) const {
    auto header = bytes(entry.header, local_size);
    if (!header)
      return fail(header);
    ByteReader reader(*header);
    if (reader.get<std::uint32_t>() != local_signature)
      return damaged("entry '" + entry.name + "' is not where its directory says");
    reader.take(2);
    const auto flags = reader.get<std::uint16_t>();
    const auto method = reader.get<std::uint16_t>();
    reader.take(4);
    const auto crc = reader.get<std::uint32_t>();
    reader.take(8);  // sizes, which the directory has too
    const auto name_size = reader.get<std::uint16_t>();
    const auto extra_size = reader.get<std::uint16_t>();
    auto name = bytes(entry.header + local_size, name_size);
    if (!name)
      return fail(name);
    if (flags != entry.flags || method != entry.method ||
        std::string_view(reinterpret_cast<const char*>(name->data()), name->size()) != entry.name ||
        (crc != entry.crc && !(flags & descriptor_follows)))
      return damaged("entry '" + entry.name + "' differs from its directory");
    const std::uint64_t offset = entry.header + local_size + name_size + extra_size;
    if (offset > size_ || entry.stored > size_ - offset)
      return damaged("entry '" + entry.name + "' reaches past the end of the file");
    auto sum = entry.method == deflated ? sum_deflated(entry, offset, buffer)
               : entry.method == stored
                   ? sum_stored(entry, offset, buffer)
                   : damaged("entry '" + entry.name + "' is compressed in an unknown way");
    if (!sum)
      return fail(sum);
    if (*sum != entry.crc)
      return damaged("the checksum of entry '" + entry.name + "' does not hold");
    return {};
  }

  Result<uLong> sum_stored(const Entry& entry, std::uint64_t offset,
                           std::vector<std::byte>& buffer) const {
    if (entry.stored != entry.size)
      return damaged("entry '" + entry.name + "' has two sizes");
    uLong sum = ::crc32(0, nullptr, 0);
    for (std::uint64_t left = entry.size; left > 0;) {
      const auto part = std::span(buffer).first(std::min<std::uint64_t>(left, buffer.size()));
      if (!file_.read(offset, part))
        return fail(Errc::io, "cannot read the file", where_);
      sum =
          ::crc32(sum, reinterpret_cast<const Bytef*>(part.data()), static_cast<uInt>(part.size()));
      offset += part.size();
      left -= part.size();
    }
    return sum;
  }

  // Code and pickles are compressed. What comes out is summed piece by piece and thrown away.
  Result<uLong> sum_deflated(const Entry& entry, std::uint64_t offset,
                             std::vector<std::byte>& buffer) const {
    const auto halves = buffer.size() / 2;
    const auto in = std::span(buffer).first(halves), out = std::span(buffer).subspan(halves);
    z_stream stream{};
    if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK)
      return fail(Errc::internal, "zlib cannot be initialised");
    const std::unique_ptr<z_stream, int (*)(z_stream*)> ended(&stream, &::inflateEnd);
    uLong sum = ::crc32(0, nullptr, 0);
    std::uint64_t left = entry.stored, size = 0;
    int state = Z_OK;
    while (state != Z_STREAM_END) {
      if (stream.avail_in == 0 && left > 0) {
        const auto part = in.first(std::min<std::uint64_t>(left, in.size()));
        if (!file_.read(offset, part))
          return fail(Errc::io, "cannot read the file", where_);
        offset += part.size();
        left -= part.size();
        stream.next_in = reinterpret_cast<Bytef*>(part.data());
        stream.avail_in = static_cast<uInt>(part.size());
      }
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      state = ::inflate(&stream, Z_NO_FLUSH);
      const std::size_t made = out.size() - stream.avail_out;
      if ((state != Z_OK && state != Z_STREAM_END) || (made == 0 && state != Z_STREAM_END))
        return damaged("entry '" + entry.name + "' cannot be decompressed");
      sum = ::crc32(sum, reinterpret_cast<const Bytef*>(out.data()), static_cast<uInt>(made));
      size += made;
      if (size > entry.size)
        break;
    }
    if (size != entry.size || left != 0 || stream.avail_in != 0)
      return damaged("entry '" + entry.name + "' is not as long as its directory says");
    return sum;
  }

  // A TorchScript archive is one folder with data.pkl, constants.pkl and code/ in it.
  [[nodiscard]] Result<void> check_names() const {
    bool data = false, constants = false, code = false;
    for (const Entry& entry : entries_) {
      const auto slash = entry.name.find('/');
      if (slash == std::string::npos)
        continue;
      const std::string_view inside = std::string_view(entry.name).substr(slash + 1);
      data = data || inside == "data.pkl";
      constants = constants || inside == "constants.pkl";
      code = code || inside.starts_with("code/");
    }
    if (!data || !constants || !code)
      return not_a_model(data ? "it holds weights without the network's code"
                              : "a zip archive of something else");
    return {};
  }

  const File& file_;
  std::uint64_t size_;
  std::string where_;
  std::uint64_t count_ = 0, directory_ = 0, directory_size_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace

Result<void> check_model_file(const std::filesystem::path& path) {
  const File file(path);
  struct stat status {};
  if (file.fd() < 0 || ::fstat(file.fd(), &status) != 0) {
    const int error = errno;
    const Errc code = error == ENOENT || error == ENOTDIR ? Errc::not_found
                      : error == EACCES                   ? Errc::permission_denied
                                                          : Errc::io;
    return fail(code, code == Errc::not_found ? "no such file" : std::strerror(error), path);
  }
  if (!S_ISREG(status.st_mode))
    return fail(Errc::corrupt, "not a TorchScript model: not a regular file", path);
  return Checker(file, static_cast<std::uint64_t>(status.st_size), path).run();
}

}  // namespace cleave::inline v0::model
