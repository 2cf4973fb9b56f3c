// Archives that are whole by their sums, and yet must not reach libtorch.
#include "lib/model/checked_file.hpp"
#include "lib/model/pickle_check.hpp"
#include "tests/model/split_support.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/file.hpp>

#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <random>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;
using core::Errc;

std::vector<std::byte> as_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// What an entry says of itself, in its local header and in the directory.
struct Part {
  std::string name;
  std::vector<std::byte> content;
  std::string local_name = {};               ///< if not the same
  std::optional<std::uint32_t> header = {};  ///< if not where it is
  std::optional<std::uint32_t> local_size = {}, size = {};
  std::uint16_t flags = 0, method = 0;
  std::uint32_t unpacked = 0;  ///< for a deflated entry
};

// A zip archive of these parts, by the format's description alone.
std::vector<std::byte> zip(const std::vector<Part>& parts) {
  std::vector<std::byte> archive, directory;
  core::ByteWriter out(archive), list(directory);
  for (const Part& part : parts) {
    const auto header = static_cast<std::uint32_t>(archive.size());
    const auto stored = static_cast<std::uint32_t>(part.content.size());
    const std::uint32_t size = part.method == 0 ? stored : part.unpacked;
    std::uint32_t crc = static_cast<std::uint32_t>(
        ::crc32(0, reinterpret_cast<const Bytef*>(part.content.data()), stored));
    if (part.method == 8) {
      std::vector<std::byte> unpacked(size);
      z_stream stream{};
      ::inflateInit2(&stream, -MAX_WBITS);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(part.content.data()));
      stream.avail_in = stored;
      stream.next_out = reinterpret_cast<Bytef*>(unpacked.data());
      stream.avail_out = size;
      ::inflate(&stream, Z_FINISH);
      ::inflateEnd(&stream);
      crc = static_cast<std::uint32_t>(
          ::crc32(0, reinterpret_cast<const Bytef*>(unpacked.data()), size));
    }
    const std::string& local = part.local_name.empty() ? part.name : part.local_name;
    out.put(std::uint32_t{0x04034b50});
    out.put(std::uint16_t{20});
    out.put(part.flags);
    out.put(part.method);
    out.put(std::uint32_t{0});
    out.put(crc);
    out.put(stored);
    out.put(part.local_size.value_or(size));
    out.put(static_cast<std::uint16_t>(local.size()));
    out.put(std::uint16_t{0});
    out.put_bytes(std::as_bytes(std::span(local)));
    out.put_bytes(part.content);
    list.put(std::uint32_t{0x02014b50});
    list.put(std::uint32_t{20 << 16 | 20});
    list.put(part.flags);
    list.put(part.method);
    list.put(std::uint32_t{0});
    list.put(crc);
    list.put(stored);
    list.put(part.size.value_or(size));
    list.put(static_cast<std::uint16_t>(part.name.size()));
    list.put(std::uint64_t{0});
    list.put(std::uint32_t{0});
    list.put(part.header.value_or(header));
    list.put_bytes(std::as_bytes(std::span(part.name)));
  }
  const auto at = static_cast<std::uint32_t>(archive.size());
  out.put_bytes(directory);
  out.put(std::uint32_t{0x06054b50});
  out.put(std::uint32_t{0});
  out.put(static_cast<std::uint16_t>(parts.size()));
  out.put(static_cast<std::uint16_t>(parts.size()));
  out.put(static_cast<std::uint32_t>(directory.size()));
  out.put(at);
  out.put(std::uint16_t{0});
  return archive;
}

std::vector<std::byte> deflated(const std::vector<std::byte>& bytes) {
  std::vector<std::byte> packed(::compressBound(bytes.size()) + 64);
  z_stream stream{};
  ::deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  ::deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return packed;
}

const std::string no_tensors = "\x80\x02).";

// The least that passes for a TorchScript archive.
std::vector<Part> least() {
  return {{"m/data.pkl", as_bytes(no_tensors)},
          {"m/constants.pkl", as_bytes(no_tensors)},
          {"m/code/__torch__.py", as_bytes("op_version_set = 1\n")},
          {"m/data/0", std::vector<std::byte>(16)}};
}

core::Result<void> checked(const std::vector<Part>& parts,
                           const model::ArchiveLimits& limits = {}) {
  const auto archive = zip(parts);
  return model::check_archive(model::MemorySource(archive), "archive", limits);
}

void refused(const std::vector<Part>& parts, const std::string& because,
             Errc code = Errc::corrupt) {
  const auto result = checked(parts);
  ASSERT_FALSE(result) << because;
  EXPECT_EQ(result.error().code, code) << result.error().message();
  EXPECT_NE(result.error().what.find(because), std::string::npos) << result.error().message();
}

TEST(HostileArchive, TheLeastThatIsOnePasses) {
  const auto result = checked(least());
  EXPECT_TRUE(result) << result.error().message();
}

TEST(HostileArchive, NamesThatLeaveItAreRefused) {
  for (const char* name : {"/m/data/1", "m/../data/1", "m/./1", "m//1", "m\\data\\1", "m/data/\n1",
                           "../m/data/1", "m/.."}) {
    auto parts = least();
    parts.push_back({name, as_bytes("x")});
    EXPECT_FALSE(checked(parts)) << name;
  }
  auto folder = least();
  folder.push_back({"m/extra/", {}});
  EXPECT_TRUE(checked(folder));
  auto other = least();
  other.push_back({"n/data/1", as_bytes("x")});
  refused(other, "not all in one folder");
}

TEST(HostileArchive, TwoEntriesOfOneNameAreRefused) {
  auto parts = least();
  parts.push_back({"m/data/0", as_bytes("x")});
  refused(parts, "two entries have the name");
  // libtorch finds entries without regard to case.
  parts.back().name = "m/DATA.pkl";
  refused(parts, "two entries have the name");
}

TEST(HostileArchive, LocalHeadersThatSayAnythingElseAreRefused) {
  auto renamed = least();
  renamed.back().local_name = "m/data/9";
  refused(renamed, "differs from its directory");
  auto resized = least();
  resized.back().local_size = 8;
  refused(resized, "differs from its directory");
  auto encrypted = least();
  encrypted.back().flags = 1;
  refused(encrypted, "encrypted");
  auto strange = least();
  strange.back().method = 12;
  refused(strange, "unknown way");
}

TEST(HostileArchive, EntriesThatOverlapAreRefused) {
  // Both directory entries name the first one's bytes.
  auto parts = least();
  parts.push_back(parts.back());
  parts.back().name = "m/data/1";
  parts.back().local_name = "m/data/0";
  const auto archive = zip(parts);
  std::uint32_t header = 0;
  for (std::size_t i = 0; i < 3; ++i)
    header += static_cast<std::uint32_t>(30 + parts[i].name.size() + parts[i].content.size());
  parts.back().header = header;
  const auto result = checked(parts);
  ASSERT_FALSE(result);
  // Names differ in the local header, or the bytes are the same: refused by either.
  EXPECT_EQ(result.error().code, Errc::corrupt);
  // An entry whose content is another whole entry.
  auto inner = zip({{"m/data/1", as_bytes("inner")}});
  auto nested = least();
  nested.back().content.assign(inner.begin(), inner.begin() + 30 + 8 + 5);
  std::uint32_t inside = 0;
  for (std::size_t i = 0; i < 3; ++i)
    inside += static_cast<std::uint32_t>(30 + nested[i].name.size() + nested[i].content.size());
  inside += static_cast<std::uint32_t>(30 + nested[3].name.size());
  nested.push_back({"m/data/1", as_bytes("inner")});
  nested.back().header = inside;
  refused(nested, "overlap");
}

TEST(HostileArchive, ABombIsRefusedBeforeItIsUnpacked) {
  model::ArchiveLimits limits;
  limits.unpacked = 1 << 20;
  auto parts = least();
  const std::vector<std::byte> zeros(std::size_t{4} << 20);
  parts.push_back({"m/code/bomb.py", deflated(zeros)});
  parts.back().method = 8;
  parts.back().unpacked = static_cast<std::uint32_t>(zeros.size());
  EXPECT_TRUE(checked(parts));
  const auto result = checked(parts, limits);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::exhausted);
  // Several that are each below the limit count together.
  limits.unpacked = 5 << 20;
  EXPECT_TRUE(checked(parts, limits));
  parts.push_back(parts.back());
  parts.back().name = "m/code/second.py";
  EXPECT_EQ(checked(parts, limits).error().code, Errc::exhausted);
  // One that states less than it unpacks to.
  parts.pop_back();
  parts.back().size = parts.back().local_size = 100;
  EXPECT_EQ(checked(parts).error().code, Errc::corrupt);
  limits.entries = 4;
  EXPECT_EQ(checked(parts, limits).error().code, Errc::exhausted);
}

TEST(HostileArchive, AnEndRecordThatDoesNotFitIsRefused) {
  // A second end record in the comment of the first: which of them counts depends on the reader.
  auto archive = zip(least());
  std::vector<std::byte> fake(22);
  const std::uint32_t signature = 0x06054b50;
  std::memcpy(fake.data(), &signature, sizeof signature);
  fake[20] = std::byte{7};  // a comment that is not there
  archive[archive.size() - 2] = std::byte{22};
  archive.insert(archive.end(), fake.begin(), fake.end());
  EXPECT_EQ(model::check_archive(model::MemorySource(archive), "archive").error().code,
            Errc::corrupt);
}

// --- pickles

// A tensor of `sizes` over "elements" float32 elements stored in entry "0", as libtorch writes it.
std::string tensor_pickle(std::int32_t elements, std::int32_t offset,
                          const std::vector<std::int32_t>& sizes,
                          const std::vector<std::int32_t>& strides) {
  const auto number = [](std::int32_t value) {
    std::string code = "J";
    for (int shift = 0; shift < 32; shift += 8)
      code += static_cast<char>(static_cast<std::uint32_t>(value) >> shift);
    return code;
  };
  const auto text = [](const std::string& value) {
    return "X" + std::string{static_cast<char>(value.size()), 0, 0, 0} + value;
  };
  std::string pickle =
      "\x80\x02"
      "ctorch._utils\n_rebuild_tensor_v2\n((";
  pickle += text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") +
            number(elements) + "tQ" + number(offset) + "(";
  for (const auto size : sizes) pickle += number(size);
  pickle += "t(";
  for (const auto stride : strides) pickle += number(stride);
  return pickle +
         "t\x89"
         "ccollections\nOrderedDict\n)RtR.";
}

core::Result<void> check(const std::string& pickle) {
  return model::check_pickle(
      std::as_bytes(std::span(pickle)),
      [](std::string_view key) {
        return key == "0" ? std::optional<std::uint64_t>(16) : std::nullopt;
      },
      "pickle");
}

TEST(HostilePickle, TensorsMustLieInsideTheirBytes) {
  EXPECT_TRUE(check(tensor_pickle(4, 0, {2, 2}, {2, 1})));
  EXPECT_TRUE(check(tensor_pickle(4, 3, {5, 1}, {0, 7})));
  EXPECT_TRUE(check(tensor_pickle(4, 9, {0, 3}, {1, 1})));
  EXPECT_TRUE(check(tensor_pickle(4, 0, {}, {})));
  EXPECT_FALSE(check(tensor_pickle(5, 0, {2, 2}, {2, 1}))) << "more elements than bytes";
  EXPECT_FALSE(check(tensor_pickle(4, 1, {2, 2}, {2, 1}))) << "the offset";
  EXPECT_FALSE(check(tensor_pickle(4, 0, {2, 2}, {3, 1}))) << "the strides";
  EXPECT_FALSE(check(tensor_pickle(4, -1, {2, 1}, {1, 1}))) << "before the first element";
  EXPECT_FALSE(check(tensor_pickle(4, 0, {2, 2}, {-1, 1})));
  EXPECT_FALSE(check(tensor_pickle(4, 0, {-2, 2}, {1, 1})));
  EXPECT_FALSE(check(tensor_pickle(4, 0, {2, 2}, {1})));
  EXPECT_FALSE(check(tensor_pickle(-4, 0, {2, 2}, {1, 1})));
  EXPECT_FALSE(check(tensor_pickle(4, 0, {2147483647, 2147483647, 2147483647},
                                   {2147483647, 2147483647, 2147483647})));
}

TEST(HostilePickle, WhatWouldMakeLibtorchAllocateOrJumpIsRefused) {
  EXPECT_TRUE(check("\x80\x02N."));
  EXPECT_FALSE(check("\x80\x02N")) << "no end";
  EXPECT_FALSE(check("\x80\x02Nr\xff\xff\xff\x7f.")) << "a table of two thousand million values";
  EXPECT_FALSE(check(std::string("\x80\x02h\0.", 5))) << "a value that was not remembered";
  EXPECT_FALSE(check("\x80\x02K\x07)R.")) << "a number for a function";
  EXPECT_FALSE(check("\x80\x02t.")) << "no mark";
  EXPECT_FALSE(
      check("\x80\x02"
            "0."))
      << "an instruction that no model has";
  EXPECT_FALSE(check(std::string("\x80\x02X\xff\xff\xff\xff.", 8))) << "a text past the end";
  std::string deep = "\x80\x02N";
  deep.append(100000, '\x85');
  EXPECT_FALSE(check(deep + ".")) << "tuples in tuples";
}

// --- flipped bits and truncation

TEST(HostileFile, EveryFlipAndTruncationIsNoticedOrHarmless) {
  // On the memory file system where there is one: the archive goes through load(), as a user's.
  const fs::path shm = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
  const fs::path path = shm / ("cleave-hostile-" + std::to_string(::getpid()) + ".pt");
  const auto module = script(R"(
def forward(self, x):
    x = torch.relu(torch.conv2d(x, self.a, None, [1, 1], [1, 1]))
    return torch.matmul(torch.flatten(x, 1), self.b)
)",
                             {{"a", weights({4, 3, 3, 3})}, {"b", weights({256, 5})}});
  ASSERT_TRUE(model::save_module(module, {*model::parse_input_spec("1x3x8x8")}, path));
  const auto content = *core::read_file(path, std::size_t{1} << 24);
  const auto intact = model::load(path);
  ASSERT_TRUE(intact) << intact.error().message();
  const auto inputs = (*intact)->example_inputs();
  const core::Values expected = run_whole(**intact, inputs);

  std::mt19937_64 random(23);
  std::size_t noticed = 0, harmless = 0;
  const auto try_one = [&](std::span<const std::byte> changed) {
    // The check says by itself what libtorch may see; most copies end here, in microseconds.
    if (const auto ok = model::check_archive(model::MemorySource(changed), "copy"); !ok) {
      ++noticed;
      EXPECT_TRUE(ok.error().code == Errc::corrupt || ok.error().code == Errc::exhausted);
      EXPECT_EQ(ok.error().message().find('\n'), std::string::npos);
      return;
    }
    ASSERT_TRUE(core::write_file(path, changed));
    const auto model = model::load(path);
    if (!model) {
      ++noticed;
      EXPECT_EQ(model.error().message().find('\n'), std::string::npos);
      return;
    }
    ++harmless;
    EXPECT_EQ((*model)->fingerprint(), (*intact)->fingerprint());
    EXPECT_TRUE(bit_equal(run_whole(**model, inputs), expected));
  };
  for (int copy = 0; copy < 1500; ++copy) {
    auto changed = content;
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips)
      changed[random() % changed.size()] ^= std::byte{1} << (random() % 8);
    try_one(changed);
  }
  EXPECT_GT(noticed, 300u);
  EXPECT_GT(harmless, 50u);
  noticed = harmless = 0;
  for (std::size_t size = 0; size < content.size(); size += 1 + random() % 41)
    try_one(std::span(content).first(size));
  EXPECT_EQ(harmless, 0u);
  fs::remove(path);
}

TEST(HostileFile, AnyFlipInWhatASumCoversIsNoticed) {
  const auto archive = zip(least());
  for (const Part& part : least()) {
    // The bytes of each entry, found by themselves.
    const std::string name = part.name;
    const auto text =
        std::string_view(reinterpret_cast<const char*>(archive.data()), archive.size());
    const std::size_t begin = text.find(name) + name.size();
    for (std::size_t bit = 0; bit < part.content.size() * 8; ++bit) {
      auto changed = archive;
      changed[begin + bit / 8] ^= std::byte{1} << (bit % 8);
      EXPECT_FALSE(model::check_archive(model::MemorySource(changed), "copy")) << name << bit;
    }
  }
}

}  // namespace
}  // namespace cleave::test
