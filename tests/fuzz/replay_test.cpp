// Every fuzz target over its seeds and a few thousand changed copies of them, the same each time:
// what a build without a fuzzer can show. CLEAVE_WRITE_SEEDS=1 writes the seeds that are made here.
#include "profiler/host_wire.hpp"
#include "tests/fuzz/targets.hpp"

#include <cleave/core/file.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/exec/push_protocol.hpp>
#include <cleave/transport/codec.hpp>
#include <cleave/transport/protocol.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using namespace cleave;
using Bytes = std::vector<std::byte>;

fs::path folder_of(std::string_view target) {
  return fs::path(CLEAVE_SOURCE_DIR) / "tests" / "fuzz" / "seeds" / target;
}

std::vector<Bytes> seeds_of(std::string_view target) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder_of(target))) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> seeds;
  for (const fs::path& path : paths) seeds.push_back(*core::read_file(path, std::size_t{1} << 20));
  return seeds;
}

// What a fuzzer does, without its feedback: flips, numbers that are edges, pieces cut out, doubled
// and taken from another seed.
Bytes changed(const std::vector<Bytes>& seeds, std::mt19937_64& random) {
  Bytes bytes = seeds[random() % seeds.size()];
  for (std::uint64_t times = 1 + random() % 4; times > 0; --times) {
    const std::size_t at = bytes.empty() ? 0 : random() % bytes.size();
    const std::size_t length = std::min<std::size_t>(1 + random() % 64, bytes.size() - at);
    const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random() % 6) {
      case 0:
        if (!bytes.empty())
          bytes[at] ^= std::byte{1} << (random() % 8);
        break;
      case 1:
        if (!bytes.empty())
          bytes[at] = static_cast<std::byte>(random());
        break;
      case 2: {
        constexpr std::array<std::uint64_t, 8> edges{
            0, 1, 0x7f, 0xff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff};
        const std::uint64_t edge = edges[random() % edges.size()];
        for (std::size_t i = 0; i < std::min<std::size_t>(length, 1U << random() % 4); ++i)
          bytes[at + i] = static_cast<std::byte>(edge >> 8 * (i % 8));
        break;
      }
      case 3:
        bytes.erase(from, from + static_cast<std::ptrdiff_t>(length));
        break;
      case 4: {
        const Bytes piece(from, from + static_cast<std::ptrdiff_t>(length));
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
        break;
      }
      default: {
        const Bytes& other = seeds[random() % seeds.size()];
        for (std::size_t i = 0; i < length && at + i < other.size(); ++i)
          bytes[at + i] = other[at + i];
      }
    }
  }
  return bytes;
}

class Fuzz : public testing::TestWithParam<fuzz::Target> {};

TEST_P(Fuzz, SeedsAndChangedCopiesKeepEveryPromise) {
  const fuzz::Target& target = GetParam();
  const auto seeds = seeds_of(target.name);
  ASSERT_FALSE(seeds.empty());
  const auto run = [&](std::span<const std::byte> bytes) {
    // A copy of its own, so that a sanitizer sees every byte past the end.
    const std::vector<std::uint8_t> copy(
        reinterpret_cast<const std::uint8_t*>(bytes.data()),
        reinterpret_cast<const std::uint8_t*>(bytes.data()) + bytes.size());
    target.run(copy.data(), copy.size());
  };
  run({});
  for (const Bytes& seed : seeds) {
    run(seed);
    for (std::size_t size = 0; size < seed.size(); size += 1 + seed.size() / 200)
      run(std::span(seed).first(size));
  }
  std::mt19937_64 random(17);
  for (int copy = 0; copy < 5000; ++copy) run(changed(seeds, random));
}

INSTANTIATE_TEST_SUITE_P(Reader, Fuzz,
                         testing::ValuesIn(fuzz::targets().begin(), fuzz::targets().end()),
                         [](const auto& target) { return std::string(target.param.name); });

// What one side of a connection says, as seeds: calls in pieces, cancelled ones, a farewell; and
// answers to the two calls that the target makes.
std::vector<std::pair<std::string, Bytes>> own_conversations() {
  transport::Limits limits;
  limits.chunk = 1024;
  transport::OutgoingFrame frame;
  const auto said = [&](transport::Protocol& by, unsigned habits) {
    Bytes bytes{std::byte{100}, std::byte(habits)};
    while (by.next(frame)) {
      bytes.insert(bytes.end(), frame.head.begin(), frame.head.end());
      bytes.insert(bytes.end(), frame.body.begin(), frame.body.end());
    }
    return bytes;
  };
  const auto heard = [&](transport::Protocol& by, transport::Protocol& from) {
    std::vector<transport::Event> events;
    while (from.next(frame)) {
      EXPECT_TRUE(by.receive(frame.head, core::Seconds(1), events));
      EXPECT_TRUE(by.receive(frame.body, core::Seconds(1), events));
    }
  };
  std::vector<std::pair<std::string, Bytes>> seeds;
  for (const unsigned habits : {0U, 2U, 4U, 8U, 14U}) {
    transport::Protocol caller(limits), callee(limits);
    heard(caller, callee);
    caller.ping(core::Seconds(2));
    EXPECT_TRUE(caller.request({"s", "m", 3, core::Seconds(1)}, Bytes(1500, std::byte{5})));
    const auto streamed = caller.begin_request({"s", "p", 1, core::Seconds(0)}, 2000);
    EXPECT_TRUE(streamed);
    EXPECT_TRUE(caller.append(*streamed, Bytes(700, std::byte{6})));
    caller.finish(*streamed);
    EXPECT_TRUE(caller.request({"s", "m", 1, core::Seconds(0)}, {}));
    Bytes bytes = said(caller, habits);
    caller.cancel(*streamed);
    caller.go_away("done");
    const Bytes more = said(caller, habits);
    bytes.insert(bytes.end(), more.begin() + 2, more.end());
    seeds.emplace_back("protocol/calls-" + std::to_string(habits), bytes);
  }
  transport::Protocol caller(limits), callee(limits);
  heard(caller, callee);
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE(caller.request({"s", "m", 1, core::Seconds(0)}, Bytes(300)));
  heard(callee, caller);
  callee.respond(1, Bytes(2500, std::byte{7}), {});
  callee.respond_error(2, {core::Errc::not_found, "what", "where", "hint"});
  seeds.emplace_back("protocol/answers", said(callee, 17));
  return seeds;
}

// The messages that cleave writes itself, as seeds.
std::vector<std::pair<std::string, Bytes>> own_messages() {
  core::Tensor tensor = core::empty_tensor(core::DType::float32, {2, 3, 5, 6});
  for (int i = 0; i < 180; ++i) tensor.data_as<float>()[i] = 0.5F * static_cast<float>(i % 41);
  core::Value::Dict dict{
      {{core::Value(std::string("key")), core::Value(std::int64_t{3})}}, "str", "int"};
  const core::Values values{core::Value(tensor),
                            core::Value(true),
                            core::Value(2.5),
                            core::Value(core::Value::Tuple{{core::Value(tensor), core::Value()}}),
                            core::Value(core::Value::List{{core::Value(std::int64_t{1})}, "int"}),
                            core::Value(dict)};
  std::vector<std::pair<std::string, Bytes>> seeds;
  for (const std::string_view codec : transport::codec_names()) {
    Bytes message;
    EXPECT_TRUE(transport::encode_values(values, **transport::find_codec(codec), message));
    seeds.emplace_back("values/" + std::string(codec), message);
  }
  const transport::BlockShape shape{core::DType::float32, 180, 3, 30};
  const std::span<const std::byte> elements(tensor.data(), tensor.nbytes());
  for (std::size_t i = 0; i < transport::codec_names().size(); ++i) {
    const std::string_view name = transport::codec_names()[i];
    const transport::Codec& codec = **transport::find_codec(name);
    Bytes header(codec.header_size(shape)), piece(codec.bound(shape, 180));
    transport::Workspace workspace;
    if (name != "raw") {  // it takes nothing
      EXPECT_TRUE(codec.prepare(shape, elements, header));
    }
    piece.resize(codec.encode({shape, header, 0}, elements, piece, workspace));
    Bytes seed{std::byte(i), std::byte{0},  std::byte(core::DType::float32),
               std::byte{2}, std::byte{29}, std::byte{1}};
    seed.insert(seed.end(), header.begin(), header.end());
    seed.insert(seed.end(), piece.begin(), piece.end());
    seeds.emplace_back("codec/" + std::string(name), seed);
  }
  Bytes request;
  exec::write_tail_request_header({{1, 2}, {3}, "int8", {0, 1}, {}}, request);
  request.insert(request.end(), 8, std::byte{7});
  seeds.emplace_back("infer/request", request);
  Bytes reply;
  exec::write_tail_reply_header({core::Seconds(1), core::Seconds(2), core::Seconds(3)}, reply);
  seeds.emplace_back("infer/reply", reply);
  seeds.emplace_back("infer/description",
                     exec::write_description({{{1, 2}}, {{"threads", {"1", "2"}}}}));
  const std::string digest(64, 'a');
  seeds.emplace_back("push/begin", exec::write_push_begin({digest, 1000, ".pt"}));
  seeds.emplace_back("push/append", exec::write_push_append({digest, 10, reply}));
  seeds.emplace_back("push/commit", exec::write_push_commit(digest));
  seeds.emplace_back("push/offset", exec::write_push_offset(7));
  seeds.emplace_back("push/committed", exec::write_push_committed({1, 2}));
  Bytes measure;
  profiler::write_measure_request_header({{1, 2}, {"raw", "int8"}, 3, core::Seconds(1), {}},
                                         measure);
  seeds.emplace_back("measure/request", measure);
  table::HostProfile host;
  host.name = "cloud";
  host.knobs = {{"threads", core::cloud_host, "threads", {{"1", 1}, {"2", 2}}, false, {}}};
  table::Setting setting;
  setting.levels = {1};
  setting.steps.resize(3);
  setting.codecs.resize(2);
  host.settings = {setting};
  seeds.emplace_back("measure/host", profiler::write_host_profile(host));
  seeds.emplace_back(
      "measure/machine",
      profiler::write_provenance({"cloud", "a processor", 2, "cpu", {{"cleave", "0.1.0"}}}));
  for (const char letter : {'a', 'b'}) {
    transport::Protocol client({});
    client.authenticate(std::string(32, letter));
    Bytes greeting{std::byte{20}};
    transport::OutgoingFrame frame;
    while (client.next(frame))
      greeting.insert(greeting.end(), frame.head.begin(), frame.head.end());
    seeds.emplace_back(letter == 'a' ? "gate/right" : "gate/wrong", greeting);
  }
  for (auto& seed : own_conversations()) seeds.push_back(std::move(seed));
  return seeds;
}

TEST(FuzzSeeds, AreTheMessagesThatCleaveWrites) {
  for (const auto& [name, bytes] : own_messages()) {
    const fs::path path = folder_of(name);
    if (std::getenv("CLEAVE_WRITE_SEEDS") != nullptr) {
      fs::create_directories(path.parent_path());
      ASSERT_TRUE(core::write_file(path, bytes));
    }
    const auto there = core::read_file(path, std::size_t{1} << 20);
    ASSERT_TRUE(there) << there.error().message();
    EXPECT_EQ(*there, bytes) << name << ": a format changed; write the seeds again";
  }
}

// Compressed ones are not the same for every version of zstd: they need only be read.
TEST(FuzzSeeds, CompressedMessagesAreRead) {
  for (const char* codec : {"raw", "fp16", "int8c", "q6"}) {
    const std::string name = "values/" + std::string(codec);
    const auto plain = transport::decode_values(*core::read_file(folder_of(name), 1 << 20));
    const fs::path path = folder_of(name + "+zstd");
    if (std::getenv("CLEAVE_WRITE_SEEDS") != nullptr) {
      Bytes message;
      ASSERT_TRUE(transport::encode_values(
          *plain, **transport::find_codec(std::string(codec) + "+zstd"), message));
      ASSERT_TRUE(core::write_file(path, message));
    }
    const auto read = transport::decode_values(*core::read_file(path, 1 << 20));
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->size(), plain->size());
  }
}

}  // namespace
