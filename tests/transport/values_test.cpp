#include "tests/transport/values_support.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

namespace cleave::test {
namespace {

TEST(EncodeValues, CarriesTheWholeTree) {
  Value::List list{{Value(std::int64_t{1}), Value(std::int64_t{-2})}, "int"};
  Value::Dict dict{{{Value(std::string("k")), Value(floats({2}))}}, "str", "Tensor"};
  Value::Tuple tuple{{Value(list), Value(dict), Value(Value::List{{}, "Tensor"})}};
  const core::Values values{Value::None{}, Value::Uninitialized{}, true,  std::int64_t{1} << 40,
                            -0.25,         std::string("text"),    tuple, floats({})};
  const auto back = through(values);
  ASSERT_EQ(back.size(), values.size());
  EXPECT_TRUE(std::holds_alternative<Value::None>(back[0].data));
  EXPECT_TRUE(std::holds_alternative<Value::Uninitialized>(back[1].data));
  EXPECT_EQ(std::get<bool>(back[2].data), true);
  EXPECT_EQ(std::get<std::int64_t>(back[3].data), std::int64_t{1} << 40);
  EXPECT_EQ(std::get<double>(back[4].data), -0.25);
  EXPECT_EQ(std::get<std::string>(back[5].data), "text");
  const auto& t = std::get<Value::Tuple>(back[6].data);
  const auto& l = std::get<Value::List>(t.items.at(0).data);
  EXPECT_EQ(l.element, "int");
  EXPECT_EQ(std::get<std::int64_t>(l.items.at(1).data), -2);
  const auto& d = std::get<Value::Dict>(t.items.at(1).data);
  EXPECT_EQ(d.key, "str");
  EXPECT_EQ(d.value, "Tensor");
  EXPECT_TRUE(same_elements(*d.items.at(0).second.tensor(), floats({2})));
  EXPECT_EQ(std::get<Value::List>(t.items.at(2).data).element, "Tensor");
  EXPECT_TRUE(same_elements(*back[7].tensor(), floats({})));
}

TEST(EncodeValues, KeepsStridesOfChannelsLast) {
  const Tensor base = floats({1, 4, 5, 3});
  const Tensor channels_last = view(base, {1, 3, 4, 5}, {60, 1, 15, 3}, 0);
  for (const auto name : transport::codec_names()) {
    const auto back = through({channels_last}, name);
    EXPECT_EQ(back[0].tensor()->strides, channels_last.strides);
  }
  EXPECT_TRUE(same_elements(*through({channels_last})[0].tensor(), channels_last));
}

TEST(EncodeValues, AViewCountsOnlyItsOwnBytes) {
  const Tensor base = floats({100, 100});
  const auto empty = encoded({view(base, {0, 100}, {100, 1}, 0)}).size();
  EXPECT_EQ(encoded({view(base, {10, 100}, {100, 1}, 500)}).size() - empty, 4000U);
  const Tensor column = view(base, {100, 3}, {100, 1}, 7);
  EXPECT_EQ(encoded({column}).size() - empty, 1200U);
  EXPECT_TRUE(same_elements(*through({column})[0].tensor(), column));
  const Tensor transposed = view(base, {3, 100}, {1, 100}, 7);
  const auto back = through({transposed});
  EXPECT_TRUE(same_elements(*back[0].tensor(), transposed));
  EXPECT_EQ(back[0].tensor()->strides, (std::vector<std::int64_t>{1, 3}));
}

TEST(EncodeValues, ABroadcastDimensionIsSentOnce) {
  const Tensor base = floats({4});
  const Tensor broadcast = view(base, {1000, 4}, {0, 1}, 0);
  EXPECT_LT(encoded({broadcast}).size(), 200U);
  const auto back = through({broadcast});
  EXPECT_TRUE(same_elements(*back[0].tensor(), broadcast));
  EXPECT_EQ(back[0].tensor()->strides, broadcast.strides);
}

TEST(EncodeValues, TensorsOfOneStorageAreSentOnceAndOverlapAfterwards) {
  const Tensor base = floats({64, 64});
  const Tensor upper = view(base, {48, 64}, {64, 1}, 0);
  const Tensor lower = view(base, {48, 64}, {64, 1}, 16 * 64);
  const auto bytes = encoded({upper, lower, base});
  EXPECT_LT(bytes.size(), base.nbytes() + 300);
  auto back = *transport::decode_values(bytes);
  EXPECT_TRUE(same_elements(*back[0].tensor(), upper));
  EXPECT_TRUE(same_elements(*back[1].tensor(), lower));
  EXPECT_EQ(back[0].tensor()->storage, back[1].tensor()->storage);
  back[1].tensor()->data_as<float>()[0] = 42;
  EXPECT_EQ(back[0].tensor()->data_as<float>()[16 * 64], 42);
}

TEST(EncodeValues, InterleavedViewsThatShareNothingAreSentWithoutTheGaps) {
  const Tensor qkv = floats({50, 30});
  const Tensor q = view(qkv, {50, 10}, {30, 1}, 0), v = view(qkv, {50, 10}, {30, 1}, 20);
  const auto bytes = encoded({q, v});
  EXPECT_LT(bytes.size(), 4000U + 300U);
  const auto back = *transport::decode_values(bytes);
  EXPECT_TRUE(same_elements(*back[0].tensor(), q));
  EXPECT_TRUE(same_elements(*back[1].tensor(), v));
}

TEST(EncodeValues, SelfOverlappingWindowsKeepTheirOverlap) {
  const Tensor base = floats({20});
  const Tensor windows = view(base, {9, 4}, {2, 1}, 0);
  const auto back = through({windows});
  EXPECT_TRUE(same_elements(*back[0].tensor(), windows));
  EXPECT_EQ(back[0].tensor()->strides, windows.strides);
}

TEST(EncodeValues, RandomViewsComeBackEqual) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 300; ++round) {
    const Tensor base = floats({6, 7, 8}, random());
    core::Values values;
    for (std::uint64_t n = 1 + random() % 4; n > 0; --n) {
      std::vector<std::int64_t> sizes, strides;
      std::size_t last = 0;
      for (const std::int64_t stride : {1, 8, 56}) {
        const auto step = stride * static_cast<std::int64_t>(random() % 3);
        sizes.push_back(static_cast<std::int64_t>(random() % 4));
        strides.push_back(step);
        last += static_cast<std::size_t>(std::max<std::int64_t>(0, sizes.back() - 1) * step);
      }
      if (random() % 2 == 0) {
        std::swap(sizes[0], sizes[2]);
        std::swap(strides[0], strides[2]);
      }
      if (last < base.numel())
        values.emplace_back(view(base, sizes, strides, random() % (base.numel() - last)));
    }
    const auto back = through(values);
    ASSERT_EQ(back.size(), values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_TRUE(same_elements(*values[i].tensor(), *back[i].tensor()));
  }
}

TEST(EncodeValues, RefusesWhatItCannotSendAndLeavesTheBufferAlone) {
  std::vector<std::byte> bytes(3);
  EXPECT_FALSE(transport::encode_values({Tensor{}}, codec("raw"), bytes));
  Value deep = true;
  for (int i = 0; i < 40; ++i) {
    Value::Tuple around;
    around.items.push_back(std::move(deep));
    deep = Value(std::move(around));
  }
  EXPECT_FALSE(transport::encode_values({deep}, codec("raw"), bytes));
  EXPECT_EQ(bytes.size(), 3U);
}

TEST(DecodeValues, HoldsItsLimits) {
  const auto bytes = encoded({floats({1000}), std::int64_t{1}, true});
  transport::DecodeLimits limits;
  limits.max_bytes = 3999;
  EXPECT_EQ(transport::decode_values(bytes, limits).error().code, core::Errc::exhausted);
  limits.max_bytes = 4000;
  EXPECT_TRUE(transport::decode_values(bytes, limits));
  limits.max_values = 2;
  EXPECT_FALSE(transport::decode_values(bytes, limits));
  // A broadcast tensor of few bytes on the wire and many for whoever copies it.
  const Tensor huge = view(floats({1}), {1 << 20, 1 << 12}, {0, 0}, 0);
  EXPECT_EQ(transport::decode_values(encoded({huge})).error().code, core::Errc::exhausted);
}

TEST(DecodeValues, SurvivesTruncationAtEveryByte) {
  const auto bytes =
      encoded({floats({3, 4}), std::string("abc"), Value::Tuple{{Value(floats({2}))}}}, "int8");
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(transport::decode_values(std::span(bytes).first(n)));
}

TEST(DecodeValues, SurvivesFlippedBytes) {
  transport::DecodeLimits limits;
  limits.max_bytes = 1 << 20;
  std::mt19937_64 random(13);
  std::size_t decoded = 0, refused = 0;
  std::vector<std::string> names(transport::codec_names().begin(), transport::codec_names().end());
  names.insert(names.end(), {"raw+zstd", "fp16+zstd", "int8c+zstd", "q6+zstd"});
  for (const std::string& name : names) {
    const Tensor base = floats({40, 8});
    const auto good = encoded({base, view(base, {4, 4}, {8, 2}, 3),
                               Value::Dict{{{Value(std::string("k")), Value(true)}}, "str", "bool"},
                               Value::List{{Value(1.5)}, "float"}},
                              name);
    for (int round = 0; round < 8000; ++round) {
      auto bytes = good;
      for (std::uint64_t n = 1 + random() % 4; n > 0; --n)
        bytes[random() % bytes.size()] = static_cast<std::byte>(random());
      const auto values = transport::decode_values(bytes, limits);
      ++(values ? decoded : refused);
      if (!values) {
        EXPECT_FALSE(values.error().what.empty());
        continue;
      }
      // Every element can be read, and none lies beyond the limit.
      for (const Value& value : *values)
        core::for_each_tensor(value, [&](const Tensor& t) {
          EXPECT_LE(core::contiguous_copy(t).nbytes(), limits.max_bytes);
        });
    }
  }
  EXPECT_GT(decoded, 0u);
  EXPECT_GT(refused, 0u);
}

// The whole tree once more, with what codecs treat in unlike ways.
core::Values mixture() {
  const Tensor image = floats({1, 8, 120, 130});  // two pieces
  Tensor bytes = core::empty_tensor(DType::uint8, {70000});
  for (std::size_t i = 0; i < 70000; ++i) bytes.data()[i] = static_cast<std::byte>(i * i >> 3);
  Tensor wide = core::empty_tensor(DType::float64, {300, 300});
  for (std::size_t i = 0; i < wide.numel(); ++i) wide.data_as<double>()[i] = std::sin(double(i));
  Tensor bad = floats({100});
  bad.data_as<float>()[17] = std::nanf("");
  return {image,
          std::string("between"),
          view(image, {4, 10}, {20, 3}, 5),
          floats({0}),
          bytes,
          wide,
          bad,
          Value::Tuple{{Value(floats({})), Value(floats({5, 64}))}}};
}

bool same_values(const core::Values& a, const core::Values& b) {
  std::vector<Tensor> x, y;
  for (const Value& value : a)
    core::for_each_tensor(value, [&](const Tensor& t) { x.push_back(t); });
  for (const Value& value : b)
    core::for_each_tensor(value, [&](const Tensor& t) { y.push_back(t); });
  return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin(), same_elements);
}

TEST(ValuesEncoder, GivesTheMessageOfEncodeValuesInPiecesOfAnySize) {
  const core::Values values = mixture();
  for (const char* name : {"raw", "fp16", "int8", "int8c", "q6", "q4+zstd", "raw+zstd:1"}) {
    const auto whole = encoded(values, name);
    for (const std::size_t at_least : {std::size_t{0}, std::size_t{1}, std::size_t{100000}}) {
      auto encoder = *transport::ValuesEncoder::make(values, codec(name));
      const std::uint64_t bound = encoder.bound();
      std::vector<std::byte> message;
      for (int calls = 0; !encoder.done(); ++calls) {
        const std::size_t before = message.size();
        encoder.next(at_least, message);
        ASSERT_GT(message.size(), before);
        ASSERT_EQ(encoder.encoded(), message.size());
        // The head, and a piece more than asked for.
        ASSERT_LE(message.size() - before, at_least + transport::piece_bytes + 4096);
        ASSERT_LT(calls, 100);
      }
      EXPECT_EQ(message, whole) << name;
      if (std::string_view(name).find("zstd") == std::string_view::npos)
        EXPECT_EQ(bound, message.size()) << name;
      else
        EXPECT_GE(bound, message.size()) << name;
      encoder.next(1, message);
      EXPECT_EQ(message, whole) << "nothing behind the end";
    }
  }
}

TEST(ValuesEncoder, KeepsWhatItEncodesWhenTheValuesAreGone) {
  core::Values values = mixture();
  const auto whole = encoded(values, "int8");
  auto encoder = *transport::ValuesEncoder::make(values, codec("int8"));
  values.clear();
  std::vector<std::byte> message;
  while (!encoder.done()) encoder.next(1, message);
  EXPECT_EQ(message, whole);
}

// Address space of which no byte is there until it is touched.
class Reserved final : public core::Storage {
 public:
  explicit Reserved(std::size_t size)
      : size_(size),
        data_(
            ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~Reserved() override { ::munmap(data_, size_); }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;
  [[nodiscard]] std::byte* data() override { return static_cast<std::byte*>(data_); }
  [[nodiscard]] std::size_t size() const override { return size_; }

 private:
  std::size_t size_;
  void* data_;
};

TEST(ValuesEncoder, BeginsATensorOfMoreThan4GiBAtOnce) {
  const std::int64_t count = (std::int64_t{1} << 31) + 5;  // of four bytes
  const auto tensor =
      core::make_tensor(DType::float32, {count}, {1}, 0,
                        std::make_shared<Reserved>(static_cast<std::size_t>(count) * 4));
  ASSERT_TRUE(tensor);
  for (const auto& [name, each] : {std::pair{"raw", 4}, std::pair{"fp16", 2}}) {
    auto encoder = *transport::ValuesEncoder::make({*tensor}, codec(name));
    EXPECT_GT(encoder.bound(), static_cast<std::uint64_t>(count * each));
    EXPECT_LT(encoder.bound(), static_cast<std::uint64_t>(count * each) * 10001 / 10000);
    std::vector<std::byte> message;
    encoder.next(1, message);
    EXPECT_LE(message.size(), transport::piece_bytes + 4096);
    EXPECT_FALSE(encoder.done());
    transport::ValuesDecoder decoder;
    EXPECT_EQ(decoder.add(message).error().code, core::Errc::exhausted);
  }
}

TEST(ValuesDecoder, TakesAMessageSplitAnywhere) {
  const core::Values values = mixture();
  std::mt19937_64 random(3);
  for (const char* name : {"raw", "fp16", "int8", "int8c", "q6", "q4+zstd", "raw+zstd:1"}) {
    const auto message = encoded(values, name);
    const auto whole = *transport::decode_values(message);
    for (int round = 0; round < 6; ++round) {
      transport::ValuesDecoder decoder;
      const std::size_t most = std::size_t{1} << (4 + 3 * round);
      for (std::size_t at = 0; at < message.size();) {
        ASSERT_FALSE(decoder.done());
        const std::size_t count = std::min<std::size_t>(random() % most + 1, message.size() - at);
        ASSERT_TRUE(decoder.add(std::span(message).subspan(at, count)));
        at += count;
        ASSERT_TRUE(decoder.add({}));
      }
      ASSERT_TRUE(decoder.done());
      const auto values_again = decoder.finish();
      ASSERT_TRUE(values_again) << values_again.error().message();
      EXPECT_TRUE(same_values(*values_again, whole)) << name;
      EXPECT_FALSE(decoder.finish());
    }
  }
}

TEST(ValuesDecoder, DecodesWhileTheRestIsStillBeingEncoded) {
  const Tensor tensor = floats({1, 16, 200, 200});
  auto encoder = *transport::ValuesEncoder::make({tensor}, codec("q6"));
  transport::ValuesDecoder decoder;
  std::vector<std::byte> part;
  int parts = 0;
  for (; !encoder.done(); ++parts) {
    part.clear();
    encoder.next(1, part);
    ASSERT_TRUE(decoder.add(part));
  }
  EXPECT_EQ(parts, (16 * 200 * 200 * 4 + 262143) / 262144);
  EXPECT_TRUE(
      same_elements(*decoder.finish()->at(0).tensor(), *through({tensor}, "q6")[0].tensor()));
}

TEST(ValuesDecoder, StaysFailedAndRefusesWhatIsNotWholeOrTooLong) {
  const auto message = encoded({floats({100})}, "int8");
  transport::ValuesDecoder decoder;
  ASSERT_TRUE(decoder.add(std::span(message).first(message.size() - 1)));
  EXPECT_EQ(decoder.finish().error().code, core::Errc::corrupt);
  ASSERT_TRUE(decoder.add(std::span(message).last(1)));
  EXPECT_EQ(decoder.add(std::span(message).last(1)).error().code, core::Errc::corrupt);
  EXPECT_EQ(decoder.add({}).error().code, core::Errc::corrupt);
  EXPECT_EQ(decoder.finish().error().code, core::Errc::corrupt);
  auto newer = message;
  newer[4] = std::byte{3};
  EXPECT_EQ(transport::decode_values(newer).error().code, core::Errc::version);
  newer[4] = std::byte{1};
  EXPECT_EQ(transport::decode_values(newer).error().code, core::Errc::version);
}

TEST(ValuesDecoder, RefusesALongHeadBeforeItIsThere) {
  const auto message = encoded({floats({100})});
  transport::DecodeLimits limits;
  limits.max_head = 20;
  transport::ValuesDecoder decoder(limits);
  EXPECT_EQ(decoder.add(std::span(message).first(9)).error().code, core::Errc::exhausted);
}

TEST(ValuesDecoder, AsksOnceWhetherThereIsRoomBeforeItAllocates) {
  const auto message = encoded({floats({1000}), floats({500})}, "int8");
  for (const bool room : {true, false}) {
    std::vector<std::size_t> asked;
    transport::DecodeLimits limits;
    limits.admit = [&](std::size_t bytes) {
      asked.push_back(bytes);
      return room;
    };
    const auto decoded = transport::decode_values(message, limits);
    EXPECT_EQ(decoded.has_value(), room);
    if (!room) {
      EXPECT_EQ(decoded.error().code, core::Errc::exhausted);
    }
    EXPECT_EQ(asked, std::vector<std::size_t>{6000});
  }
}

// An application's own: every byte inverted, and a checksum before the block.
class Inverted final : public transport::Codec {
 public:
  [[nodiscard]] std::string_view name() const override { return "inverted"; }
  [[nodiscard]] bool lossless() const override { return true; }
  [[nodiscard]] std::size_t header_size(const transport::BlockShape&) const override { return 1; }
  [[nodiscard]] bool prepare(const transport::BlockShape&, std::span<const std::byte> elements,
                             std::span<std::byte> header) const override {
    header[0] = elements[0];
    return true;
  }
  [[nodiscard]] std::size_t bound(const transport::BlockShape& block,
                                  std::size_t count) const override {
    return count * core::size_of(block.dtype);
  }
  [[nodiscard]] std::size_t encode(const transport::Piece&, std::span<const std::byte> elements,
                                   std::span<std::byte> to, transport::Workspace&) const override {
    std::transform(elements.begin(), elements.end(), to.begin(), [](std::byte b) { return ~b; });
    return elements.size();
  }
  [[nodiscard]] core::Result<void> decode(const transport::Piece& piece,
                                          std::span<const std::byte> from,
                                          std::span<std::byte> elements,
                                          transport::Workspace&) const override {
    if (from.size() != elements.size() || (piece.first == 0 && ~from[0] != piece.header[0]))
      return core::fail(core::Errc::corrupt, "not inverted");
    std::transform(from.begin(), from.end(), elements.begin(), [](std::byte b) { return ~b; });
    return {};
  }
};

TEST(ValuesDecoder, TakesACodecOfTheApplicationsOwn) {
  const Inverted inverted;
  const core::Values values = mixture();
  std::vector<std::byte> bytes;
  ASSERT_TRUE(transport::encode_values(values, inverted, bytes));
  EXPECT_EQ(transport::decode_values(bytes).error().code, core::Errc::not_found);
  transport::DecodeLimits limits;
  limits.codec = &inverted;
  const auto back = transport::decode_values(bytes, limits);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_TRUE(same_values(*back, values));
  bytes[bytes.size() / 2] ^= std::byte{1};
  EXPECT_FALSE(same_values(*transport::decode_values(bytes, limits), values));
}

}  // namespace
}  // namespace cleave::test
