#include "profiler/checkpoint.hpp"

#include "profiler/host_wire.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/file.hpp>
#include <cleave/core/hash.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace cleave::inline v0::profiler {
namespace {

constexpr std::string_view magic = "CLVPART1";
constexpr std::size_t size_limit = std::size_t{256} << 20;
constexpr std::uint32_t any = 1u << 26;
constexpr std::uint32_t text_limit = 65536;

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : bytes_(out) {}

  void put(double value) { bytes_.put(value); }
  void count(std::size_t n) { bytes_.put(static_cast<std::uint32_t>(n)); }
  void put(const std::vector<double>& values) {
    count(values.size());
    for (const double value : values) put(value);
  }
  void put(const table::CodecCost& cost) {
    for (const double value : {cost.encode_fixed.count(), cost.decode_fixed.count(),
                               cost.encode_per_byte, cost.decode_per_byte, cost.spread})
      put(value);
  }
  void put(const table::HostProfile& host) {
    const std::vector<std::byte> message = write_host_profile(host);
    count(message.size());
    bytes_.put_bytes(message);
  }
  void put(const table::CutProfile& cut) {
    bytes_.put(cut.id.value);
    bytes_.put(cut.position);
    bytes_.put_string(cut.layer);
    bytes_.put_string(cut.op);
    put(cut.raw.count());
    count(cut.codecs.size());
    for (const table::CutCodec& codec : cut.codecs) {
      put(codec.encoded.count());
      put(codec.accuracy.value);
      bytes_.put(codec.accuracy.samples);
      bytes_.put(static_cast<std::uint8_t>(codec.accuracy.basis));
    }
    count(cut.head.size());
    for (const core::StepRange& range : cut.head) {
      bytes_.put(range.begin);
      bytes_.put(range.end);
    }
  }
  void put(const HostSamples& host) {
    count(host.settings.size());
    for (const SettingSamples& setting : host.settings) {
      put(setting.plain);
      count(setting.per_step.size());
      for (const auto& step : setting.per_step) put(step);
      put(setting.exchanges);
      count(setting.codecs.size());
      for (const table::CodecCost& cost : setting.codecs) put(cost);
    }
    count(host.stretches);
    const Surroundings& seen = host.surroundings;
    for (const double value : {seen.wall, seen.capacity, seen.stolen, seen.others, seen.busiest,
                               seen.temperature, seen.waited, host.spent})
      put(value);
  }
  void put(const table::LinkProfile& link) {
    for (const double value : {link.round_trip.count(), link.round_trip_spread.count(),
                               link.up.count(), link.down.count()})
      put(value);
    count(link.sizes.size());
    for (const table::TransferSample& sample : link.sizes) {
      put(sample.bytes.count());
      put(sample.time.count());
    }
  }

 private:
  core::ByteWriter bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  double number() { return bytes_.get<double>(); }
  std::uint32_t count(std::size_t each) { return bytes_.get_count(each, any); }
  std::vector<double> numbers() {
    std::vector<double> values(count(sizeof(double)));
    for (double& value : values) value = number();
    return values;
  }
  table::CodecCost cost() {
    table::CodecCost cost;
    cost.encode_fixed = core::Seconds(number());
    cost.decode_fixed = core::Seconds(number());
    cost.encode_per_byte = number();
    cost.decode_per_byte = number();
    cost.spread = number();
    return cost;
  }
  core::Result<table::HostProfile> host(std::size_t steps, std::size_t codecs) {
    return parse_host_profile(bytes_.take(count(1)), steps, codecs);
  }
  table::CutProfile cut() {
    table::CutProfile cut;
    cut.id.value = bytes_.get<std::uint64_t>();
    cut.position = bytes_.get<std::uint32_t>();
    cut.layer = bytes_.get_string(text_limit);
    cut.op = bytes_.get_string(text_limit);
    cut.raw = core::Bytes(number());
    cut.codecs.resize(count(21));
    for (table::CutCodec& codec : cut.codecs) {
      codec.encoded = core::Bytes(number());
      codec.accuracy.value = number();
      codec.accuracy.samples = bytes_.get<std::uint32_t>();
      codec.accuracy.basis = static_cast<table::Accuracy::Basis>(bytes_.get<std::uint8_t>());
    }
    cut.head.resize(count(8));
    for (core::StepRange& range : cut.head) {
      range.begin = bytes_.get<std::uint32_t>();
      range.end = bytes_.get<std::uint32_t>();
    }
    return cut;
  }
  HostSamples samples() {
    HostSamples host;
    host.settings.resize(count(16));
    for (SettingSamples& setting : host.settings) {
      setting.plain = numbers();
      setting.per_step.resize(count(4));
      for (auto& step : setting.per_step) step = numbers();
      setting.exchanges = numbers();
      setting.codecs.resize(count(40));
      for (table::CodecCost& codec : setting.codecs) codec = cost();
    }
    host.stretches = bytes_.get<std::uint32_t>();
    Surroundings& seen = host.surroundings;
    for (double* value : {&seen.wall, &seen.capacity, &seen.stolen, &seen.others, &seen.busiest,
                          &seen.temperature, &seen.waited, &host.spent})
      *value = number();
    return host;
  }
  table::LinkProfile link() {
    table::LinkProfile link;
    link.round_trip = core::Seconds(number());
    link.round_trip_spread = core::Seconds(number());
    link.up = core::BytesPerSecond(number());
    link.down = core::BytesPerSecond(number());
    link.sizes.resize(count(16));
    for (table::TransferSample& sample : link.sizes) {
      sample.bytes = core::Bytes(number());
      sample.time = core::Seconds(number());
    }
    return link;
  }
  [[nodiscard]] bool finished() const { return bytes_.finished(); }

 private:
  core::ByteReader bytes_;
};

std::vector<std::byte> payload_of(const Checkpoint& checkpoint) {
  std::vector<std::byte> out;
  Writer writer(out);
  writer.put(checkpoint.spent);
  writer.count(checkpoint.cloud_halves.size());
  for (const table::HostProfile& half : checkpoint.cloud_halves) writer.put(half);
  writer.count(checkpoint.cuts ? 1 : 0);
  if (checkpoint.cuts) {
    writer.put(checkpoint.cuts->reply.count());
    writer.count(checkpoint.cuts->cuts.size());
    for (const table::CutProfile& cut : checkpoint.cuts->cuts) writer.put(cut);
  }
  writer.put(checkpoint.edge);
  writer.count(checkpoint.link ? 1 : 0);
  if (checkpoint.link)
    writer.put(*checkpoint.link);
  writer.count(checkpoint.crossing ? 1 : 0);
  if (checkpoint.crossing)
    for (const table::CrossingCost& cost :
         {checkpoint.crossing->leaving, checkpoint.crossing->entering}) {
      writer.put(cost.fixed.count());
      writer.put(cost.per_byte);
    }
  writer.count(checkpoint.fitted.size());
  for (const FitSample& sample : checkpoint.fitted) {
    writer.put(sample.beyond);
    writer.put(sample.edge);
    writer.put(sample.cloud);
    writer.count(sample.used_cloud ? 1 : 0);
  }
  writer.count(checkpoint.checked.size());
  for (const CheckedLatency& one : checkpoint.checked) {
    writer.put(one.latency);
    writer.put(one.again);
  }
  return out;
}

tl::unexpected<core::Error> damaged(const std::filesystem::path& path) {
  return core::fail(core::Errc::corrupt, "this interrupted profile is damaged", path.string(),
                    "begin anew");
}

}  // namespace

bool same_settings(const table::HostProfile& a, const table::HostProfile& b) {
  return std::equal(a.settings.begin(), a.settings.end(), b.settings.begin(), b.settings.end(),
                    [](const auto& x, const auto& y) { return x.levels == y.levels; });
}

PartialLock::~PartialLock() {
  if (file_ < 0)
    return;
  ::unlink(path_.c_str());
  ::close(file_);
}

core::Result<PartialLock> lock_partial(const std::filesystem::path& partial) {
  if (partial.empty())
    return PartialLock();
  std::filesystem::path path = partial;
  path += ".lock";
  while (true) {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
      return core::fail(
          errno == EACCES || errno == EROFS ? core::Errc::permission_denied : core::Errc::io,
          "cannot write here: " + std::system_category().message(errno), path.string());
    PartialLock lock(path, file);
    if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      // Whose file it is, is not known here.
      ::close(lock.release());
      if (error == EINTR)
        continue;
      return core::fail(core::Errc::in_use, "another profile is being measured into this file",
                        partial.string(), "let it finish, or give another -o");
    }
    // Whoever held it before has removed it by now, unless this is the file that has the name.
    struct stat locked {};
    struct stat named {};
    if (::fstat(file, &locked) == 0 && ::stat(path.c_str(), &named) == 0 &&
        locked.st_ino == named.st_ino && locked.st_dev == named.st_dev)
      return lock;
    ::close(lock.release());
  }
}

core::Result<Checkpoint> load_checkpoint(const std::filesystem::path& path, std::uint64_t key,
                                         std::size_t steps, std::size_t codecs) {
  const auto file = core::read_file(path, size_limit);
  if (!file)
    return core::fail(file);
  core::ByteReader header(*file);
  const auto start = header.take(magic.size());
  const auto of = header.get<std::uint64_t>();
  const auto sum = header.get<std::uint64_t>();
  if (!header.ok() || std::memcmp(start.data(), magic.data(), magic.size()) != 0 ||
      sum != core::hash_bytes(header.rest()))
    return damaged(path);
  if (of != key)
    return core::fail(core::Errc::mismatch,
                      "this interrupted profile is of another model, machine, cloud, version of "
                      "cleave, or was begun with other options",
                      path.string(), "give the options that it was begun with, or begin anew");
  Reader reader(header.rest());
  Checkpoint checkpoint;
  checkpoint.spent = reader.number();
  const std::uint32_t halves = reader.count(4);
  for (std::uint32_t i = 0; i < halves; ++i) {
    auto half = reader.host(steps, codecs);
    if (!half || (i > 0 && !same_settings(*half, checkpoint.cloud_halves.front())))
      return damaged(path);
    checkpoint.cloud_halves.push_back(std::move(*half));
  }
  if (reader.count(8) != 0) {
    CutMeasurements& cuts = checkpoint.cuts.emplace();
    cuts.reply = core::Bytes(reader.number());
    cuts.cuts.resize(reader.count(36));
    for (table::CutProfile& cut : cuts.cuts) cut = reader.cut();
    if (cuts.cuts.empty())
      return damaged(path);
  }
  checkpoint.edge = reader.samples();
  if (reader.count(36) != 0)
    checkpoint.link = reader.link();
  if (reader.count(32) != 0) {
    Crossing& crossing = checkpoint.crossing.emplace();
    for (table::CrossingCost* cost : {&crossing.leaving, &crossing.entering}) {
      cost->fixed = core::Seconds(reader.number());
      cost->per_byte = reader.number();
    }
  }
  checkpoint.fitted.resize(reader.count(28));
  for (FitSample& sample : checkpoint.fitted) {
    sample.beyond = reader.number();
    sample.edge = reader.number();
    sample.cloud = reader.number();
    sample.used_cloud = reader.count(0) != 0;
  }
  checkpoint.checked.resize(reader.count(16));
  for (CheckedLatency& one : checkpoint.checked) {
    one.latency = reader.number();
    one.again = reader.number();
  }
  if (!reader.finished())
    return damaged(path);
  return checkpoint;
}

CheckpointFile::CheckpointFile(std::filesystem::path path, std::uint64_t key,
                               const core::Clock& clock)
    : path_(std::move(path)), key_(key), clock_(clock) {}

core::Result<void> CheckpointFile::save(const Checkpoint& checkpoint) {
  if (saved_ && clock_.now() - *saved_ < core::Seconds(1))
    return {};
  return save_now(checkpoint);
}

core::Result<void> CheckpointFile::save_now(const Checkpoint& checkpoint) {
  if (path_.empty())
    return {};
  saved_ = clock_.now();
  const std::vector<std::byte> payload = payload_of(checkpoint);
  std::vector<std::byte> file;
  core::ByteWriter writer(file);
  writer.put_bytes(std::as_bytes(std::span(magic.data(), magic.size())));
  writer.put(key_);
  writer.put(core::hash_bytes(payload));
  writer.put_bytes(payload);
  return core::write_file(path_, file);
}

}  // namespace cleave::inline v0::profiler
