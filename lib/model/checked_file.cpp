#include "lib/model/checked_file.hpp"

#include "lib/model/pickle_check.hpp"

#include <cleave/core/bytes.hpp>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>
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
constexpr std::uint16_t encrypted = 1u << 0, descriptor_follows = 1u << 3;

struct Entry {
  std::string name;
  std::uint16_t flags = 0, method = 0;
  std::uint32_t crc = 0;
  std::uint64_t stored = 0, size = 0, header = 0;
  std::uint64_t data = 0;  ///< where its bytes begin, once its local header was read
};

// libtorch finds entries by name without regard to case.
std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return result;
}

class Checker {
 public:
  Checker(const ByteSource& file, std::string where, const ArchiveLimits& limits)
      : file_(file), size_(file.size()), where_(std::move(where)), limits_(limits) {}

  Result<void> run() {
    if (auto found = find_directory(); !found)
      return found;
    if (auto read = read_directory(); !read)
      return read;
    if (auto checked = check_names(); !checked)
      return checked;
    for (Entry& entry : entries_) {
      if (auto checked = check_header(entry); !checked)
        return checked;
    }
    if (auto checked = check_overlaps(); !checked)
      return checked;
    std::vector<std::byte> buffer(
        std::min<std::uint64_t>(std::max<std::uint64_t>(size_, 4096), std::uint64_t{1} << 20));
    for (const Entry& entry : entries_) {
      if (auto checked = check_sum(entry, buffer); !checked)
        return checked;
    }
    for (const char* archive : {"data", "constants"}) {
      if (auto checked = check_tensors(archive); !checked)
        return checked;
    }
    return {};
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
      // A reader that looks for the signature alone would take this record, whatever follows.
      if (reader.get<std::uint16_t>() != tail_size - i - end_size || !reader.ok())
        return damaged("its end record does not fit");
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
    if (directory_size_ > limits_.directory || count_ > limits_.entries)
      return fail(Errc::exhausted,
                  "the model file lists more than " + std::to_string(limits_.entries) +
                      " entries, or takes more than " + std::to_string(limits_.directory >> 20) +
                      " MiB to do so",
                  where_);
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
      const bool numbers = read_zip64(reader.take(extra_size), entry);
      reader.take(comment_size);
      if (!reader.ok() || !numbers || entries_.size() >= count_)
        return damaged("its directory is garbled");
      entries_.push_back(std::move(entry));
    }
    if (entries_.size() != count_)
      return damaged("its directory does not hold as many entries as it says");
    return {};
  }

  // The zip64 extra field (4.5.3) holds, in this order, those numbers that did not fit. False if
  // it lacks one.
  static bool read_zip64(std::span<const std::byte> extra, Entry& entry) {
    const std::array numbers{&entry.size, &entry.stored, &entry.header};
    const auto missing = [&] {
      return std::any_of(numbers.begin(), numbers.end(),
                         [](const std::uint64_t* number) { return *number == in_zip64; });
    };
    ByteReader reader(extra);
    while (missing() && reader.ok() && reader.rest().size() >= 4) {
      const auto tag = reader.get<std::uint16_t>();
      ByteReader field(reader.take(reader.get<std::uint16_t>()));
      if (tag != 1)
        continue;
      for (std::uint64_t* number : numbers) {
        if (*number == in_zip64)
          *number = field.get<std::uint64_t>();
      }
      return field.ok();
    }
    return !missing();
  }

  // A TorchScript archive is one folder with data.pkl, constants.pkl and code/ in it.
  [[nodiscard]] Result<void> check_names() {
    bool data = false, constants = false, code = false;
    std::set<std::string> seen;
    std::string_view folder;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::string_view name = entries_[i].name;
      const auto slash = name.find('/');
      if (slash == std::string_view::npos)
        continue;
      const std::string_view inside = name.substr(slash + 1);
      data = data || inside == "data.pkl";
      constants = constants || inside == "constants.pkl";
      code = code || inside.starts_with("code/");
    }
    if (!data || !constants || !code)
      return not_a_model(data ? "it holds weights without the network's code"
                              : "a zip archive of something else");
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::string_view name = entries_[i].name;
      const auto slash = name.find('/');
      if (!is_plain(name))
        return damaged("an entry's name is not a plain path inside the archive");
      if (slash == std::string_view::npos || (i > 0 && name.substr(0, slash) != folder))
        return damaged("its entries are not all in one folder");
      folder = name.substr(0, slash);
      if (!seen.insert(lower(name)).second)
        return damaged("two entries have the name '" + std::string(name) + "'");
      by_name_[std::string(name.substr(slash + 1))] = i;
    }
    return {};
  }

  // Relative, without "..", without what a file system or a terminal would take in another way.
  static bool is_plain(std::string_view name) {
    for (const char c : name)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\')
        return false;
    for (std::size_t begin = 0; begin <= name.size();) {
      const std::size_t end = std::min(name.find('/', begin), name.size());
      const std::string_view part = name.substr(begin, end - begin);
      const bool folder = part.empty() && begin > 0 && end == name.size();
      if ((part.empty() && !folder) || part == "." || part == "..")
        return false;
      begin = end + 1;
    }
    return true;
  }

  Result<void> check_header(Entry& entry) {
    auto header = bytes(entry.header, local_size);
    if (!header)
      return fail(header);
    ByteReader reader(*header);
    if (reader.get<std::uint32_t>() != local_signature)
      return damaged("entry '" + entry.name + "' is not where its directory says");
    reader.take(2);
    Entry local;
    local.flags = reader.get<std::uint16_t>();
    local.method = reader.get<std::uint16_t>();
    reader.take(4);
    local.crc = reader.get<std::uint32_t>();
    local.stored = reader.get<std::uint32_t>();
    local.size = reader.get<std::uint32_t>();
    const auto name_size = reader.get<std::uint16_t>();
    const auto extra_size = reader.get<std::uint16_t>();
    auto rest = bytes(entry.header + local_size, std::uint64_t{name_size} + extra_size);
    if (!rest)
      return fail(rest);
    const std::string_view name(reinterpret_cast<const char*>(rest->data()), name_size);
    const bool numbers = read_zip64(std::span(*rest).subspan(name_size), local);
    // With a descriptor behind the bytes, the sum and the sizes may stand there alone.
    const auto differs = [&](std::uint64_t here, std::uint64_t there) {
      return here != there && !((local.flags & descriptor_follows) != 0 && here == 0);
    };
    if (!numbers || local.flags != entry.flags || local.method != entry.method ||
        name != entry.name || differs(local.crc, entry.crc) ||
        differs(local.stored, entry.stored) || differs(local.size, entry.size))
      return damaged("entry '" + entry.name + "' differs from its directory");
    if ((entry.flags & encrypted) != 0)
      return damaged("entry '" + entry.name + "' is encrypted");
    entry.data = entry.header + local_size + name_size + extra_size;
    if (entry.stored > directory_ || entry.data > directory_ - entry.stored)
      return damaged("entry '" + entry.name + "' reaches into the directory");
    if (entry.method == deflated) {
      if (entry.size > limits_.unpacked || (unpacked_ += entry.size) > limits_.unpacked)
        return fail(Errc::exhausted,
                    "what is compressed in the model file takes more than " +
                        std::to_string(limits_.unpacked >> 20) + " MiB",
                    where_);
    } else if (entry.method != stored) {
      return damaged("entry '" + entry.name + "' is compressed in an unknown way");
    } else if (entry.stored != entry.size) {
      return damaged("entry '" + entry.name + "' has two sizes");
    }
    return {};
  }

  // Entries that share bytes let a small file unpack to any size, and one of them hide in another.
  [[nodiscard]] Result<void> check_overlaps() const {
    std::vector<const Entry*> order;
    for (const Entry& entry : entries_) order.push_back(&entry);
    std::sort(order.begin(), order.end(),
              [](const Entry* a, const Entry* b) { return a->header < b->header; });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (order[i - 1]->data + order[i - 1]->stored > order[i]->header)
        return damaged("entries '" + order[i - 1]->name + "' and '" + order[i]->name + "' overlap");
    return {};
  }

  Result<void> check_sum(const Entry& entry, std::vector<std::byte>& buffer) const {
    auto sum = entry.method == deflated ? sum_deflated(entry, buffer, nullptr)
                                        : sum_stored(entry, entry.data, buffer);
    if (!sum)
      return fail(sum);
    if (*sum != entry.crc)
      return damaged("the checksum of entry '" + entry.name + "' does not hold");
    return {};
  }

  // Each tensor of a pickle names an entry beside it, whose size libtorch does not compare.
  Result<void> check_tensors(const std::string& archive) const {
    const Entry& entry = entries_[by_name_.at(archive + ".pkl")];
    if (entry.size > limits_.pickle)
      return fail(Errc::exhausted,
                  entry.name + " is larger than " + std::to_string(limits_.pickle >> 20) + " MiB",
                  where_);
    std::vector<std::byte> pickle(entry.size);
    if (entry.method == stored) {
      if (!file_.read(entry.data, pickle))
        return fail(Errc::io, "cannot read the file", where_);
    } else {
      std::vector<std::byte> buffer(std::size_t{1} << 16);
      pickle.clear();
      if (auto unpacked = sum_deflated(entry, buffer, &pickle); !unpacked)
        return fail(unpacked);
    }
    return check_pickle(
        pickle,
        [&](std::string_view key) -> std::optional<std::uint64_t> {
          const auto found = by_name_.find(archive + "/" + std::string(key));
          return found == by_name_.end() ? std::nullopt
                                         : std::optional(entries_[found->second].size);
        },
        where_);
  }

  Result<uLong> sum_stored(const Entry& entry, std::uint64_t offset,
                           std::vector<std::byte>& buffer) const {
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

  // Code and pickles are compressed. What comes out is summed piece by piece, and kept if asked.
  Result<uLong> sum_deflated(const Entry& entry, std::vector<std::byte>& buffer,
                             std::vector<std::byte>* kept) const {
    std::uint64_t offset = entry.data;
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
      if (kept != nullptr)
        kept->insert(kept->end(), out.begin(), out.begin() + static_cast<std::ptrdiff_t>(made));
    }
    if (size != entry.size || left != 0 || stream.avail_in != 0)
      return damaged("entry '" + entry.name + "' is not as long as its directory says");
    return sum;
  }

  const ByteSource& file_;
  std::uint64_t size_;
  std::string where_;
  const ArchiveLimits& limits_;
  std::uint64_t count_ = 0, directory_ = 0, directory_size_ = 0, unpacked_ = 0;
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t, std::less<>> by_name_;  ///< without the folder
};

}  // namespace

Result<void> check_archive(const ByteSource& source, const std::string& where,
                           const ArchiveLimits& limits) {
  return Checker(source, where, limits).run();
}

}  // namespace cleave::inline v0::model
