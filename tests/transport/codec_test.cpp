#include "lib/transport/codec_kernels.hpp"

#include <cleave/transport/codec.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>

namespace {

using namespace cleave;
using core::DType;
using core::Tensor;
using core::Value;

const transport::Codec& codec(std::string_view name) {
  return **transport::find_codec(name);
}

std::vector<std::byte> encoded(const core::Values& values, std::string_view name = "raw") {
  std::vector<std::byte> bytes;
  const auto done = transport::encode_values(values, codec(name), bytes);
  EXPECT_TRUE(done) << done.error().message();
  return bytes;
}

core::Values through(const core::Values& values, std::string_view name = "raw") {
  const auto decoded = transport::decode_values(encoded(values, name));
  EXPECT_TRUE(decoded) << decoded.error().message();
  return decoded.value_or(core::Values{});
}

Tensor floats(std::vector<std::int64_t> sizes, std::uint64_t seed = 1, float scale = 1) {
  Tensor tensor = core::empty_tensor(DType::float32, std::move(sizes));
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, scale);
  for (std::size_t i = 0; i < tensor.numel(); ++i) tensor.data_as<float>()[i] = normal(random);
  return tensor;
}

Tensor view(const Tensor& of, std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides,
            std::size_t offset_elements) {
  auto made = core::make_tensor(of.dtype, std::move(sizes), std::move(strides),
                                offset_elements * core::size_of(of.dtype), of.storage);
  EXPECT_TRUE(made);
  return *made;
}

// By value, whatever the strides.
bool same_elements(const Tensor& a, const Tensor& b) {
  if (a.dtype != b.dtype || a.sizes != b.sizes)
    return false;
  const Tensor x = core::contiguous_copy(a), y = core::contiguous_copy(b);
  return x.numel() == 0 || std::memcmp(x.data(), y.data(), x.nbytes()) == 0;
}

std::vector<float> elements(const Tensor& tensor) {
  const Tensor copy = core::contiguous_copy(tensor);
  return {copy.data_as<float>(), copy.data_as<float>() + copy.numel()};
}

TEST(Codec, EveryNameIsFoundAndAnUnknownOneIsNot) {
  for (const auto name : transport::codec_names())
    EXPECT_EQ((*transport::find_codec(name))->name(), name);
  EXPECT_EQ(transport::find_codec("morse").error().code, core::Errc::not_found);
}

TEST(Codec, RawKeepsEveryDtypeBitForBit) {
  for (std::size_t d = 0; d < core::dtype_count; ++d) {
    Tensor tensor = core::empty_tensor(static_cast<DType>(d), {3, 5});
    for (std::size_t i = 0; i < tensor.nbytes(); ++i)
      tensor.data()[i] = static_cast<std::byte>(i * 37 + d);
    for (const auto name : transport::codec_names()) {
      if (name != "raw" && tensor.dtype == DType::float32)
        continue;
      const auto values = through({tensor}, name);
      ASSERT_EQ(values.size(), 1U);
      EXPECT_TRUE(same_elements(tensor, *values[0].tensor())) << to_string(tensor.dtype);
    }
  }
}

TEST(Codec, HalvesAreTheHardwaresForEveryHalfAndItsNeighbours) {
  // An independent reference: the nearest of all 65,536 halves, ties to even.
  for (std::uint32_t h = 0; h < 0x7C00; ++h) {
    const auto half = static_cast<std::uint16_t>(h);
    const float value = transport::kernels::float_of(half);
    const int exponent = static_cast<int>(h >> 10);
    const double closed = exponent == 0 ? std::ldexp(h & 0x3FFU, -24)
                                        : std::ldexp(1024 + (h & 0x3FFU), exponent - 25);
    ASSERT_EQ(static_cast<double>(value), closed);
    ASSERT_EQ(transport::kernels::half_of(value), half);
    ASSERT_EQ(transport::kernels::half_of(-value), half | 0x8000U);
    if (h + 1 < 0x7C00) {
      const float next = transport::kernels::float_of(static_cast<std::uint16_t>(h + 1));
      const float middle = (value + next) / 2;
      ASSERT_EQ(transport::kernels::half_of(middle), (h & 1U) == 0 ? h : h + 1);
      ASSERT_EQ(transport::kernels::half_of(std::nextafter(middle, 0.0F)), h);
      ASSERT_EQ(transport::kernels::half_of(std::nextafter(middle, 1e6F)), h + 1);
    }
  }
}

TEST(Codec, VectorAndPortableKernelsGiveTheSameBits) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    const std::size_t count = 1 + random() % 70;
    std::vector<float> values(count);
    for (float& value : values)  // any bits at all: NaNs, denormals, infinities
      value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    std::vector<std::byte> a(2 * count), b(2 * count);
    transport::kernels::to_half(values.data(), count, a.data());
    transport::kernels::portable::to_half(values.data(), count, b.data());
    ASSERT_EQ(a, b);
    for (std::byte& byte : a) byte = static_cast<std::byte>(random());
    std::vector<float> x(count), y(count);
    transport::kernels::from_half(a.data(), count, x.data());
    transport::kernels::portable::from_half(a.data(), count, y.data());
    ASSERT_EQ(std::memcmp(x.data(), y.data(), count * 4), 0);

    const auto tensor = floats({static_cast<std::int64_t>(count)}, random(), 3);
    const float* from = tensor.data_as<float>();
    const auto range = transport::kernels::range_of(from, count);
    const auto expected = transport::kernels::portable::range_of(from, count);
    ASSERT_EQ(range.least, expected.least);
    ASSERT_EQ(range.most, expected.most);
    ASSERT_TRUE(range.finite);
    const float width = range.most - range.least;
    const float inverse = width == 0 ? 0 : 255 / width;
    std::vector<std::byte> q(count), p(count);
    transport::kernels::quantize(from, count, range.least, inverse, q.data());
    transport::kernels::portable::quantize(from, count, range.least, inverse, p.data());
    ASSERT_EQ(q, p);
    transport::kernels::dequantize(q.data(), count, range.least, width / 255, x.data());
    transport::kernels::portable::dequantize(q.data(), count, range.least, width / 255, y.data());
    ASSERT_EQ(x, y);

    const auto packed_as = [&]<unsigned bits>(std::integral_constant<unsigned, bits>) {
      const float steps = (1U << bits) - 1;
      q.assign((count * bits + 7) / 8, std::byte{0xFF});
      p.assign(q.size(), std::byte{0});
      namespace kernels = transport::kernels;
      const float factor = width == 0 ? 0 : steps / width;
      kernels::quantize_packed<bits>(from, count, range.least, factor, q.data());
      kernels::portable::quantize_packed<bits>(from, count, range.least, factor, p.data());
      ASSERT_EQ(q, p);
      for (std::byte& byte : q) byte = static_cast<std::byte>(random());
      const float scale = width / steps;
      kernels::dequantize_packed<bits>(q.data(), count, range.least, scale, x.data());
      kernels::portable::dequantize_packed<bits>(q.data(), count, range.least, scale, y.data());
      ASSERT_EQ(x, y);
      for (std::size_t i = 0; i < count; ++i) {  // what the format says, by division
        std::size_t value = std::to_integer<std::size_t>(q[i * bits / 8]);
        for (std::size_t k = 0; k < i % (8 / bits); ++k) value /= std::size_t{1} << bits;
        value %= std::size_t{1} << bits;
        ASSERT_EQ(x[i], range.least + static_cast<float>(value) * scale);
      }
    };
    packed_as(std::integral_constant<unsigned, 4>());
    packed_as(std::integral_constant<unsigned, 2>());
  }
}

TEST(Codec, Fp16StaysWithinItsBoundAndSaturates) {
  for (const float scale : {1e-6F, 1.0F, 3e4F}) {
    const Tensor tensor = floats({4, 1000}, 3, scale);
    const auto before = elements(tensor);
    const auto after = elements(*through({tensor}, "fp16")[0].tensor());
    for (std::size_t i = 0; i < before.size(); ++i) {
      const float clamped = std::clamp(before[i], -65504.0F, 65504.0F);
      ASSERT_LE(std::abs(after[i] - clamped),
                std::max(std::ldexp(std::abs(clamped), -11), std::ldexp(1.0F, -25)));
    }
  }
  Tensor odd = core::empty_tensor(DType::float32, {5});
  const float inf = std::numeric_limits<float>::infinity();
  const float values[] = {1e30F, -1e30F, inf, -inf, std::nanf("")};
  std::memcpy(odd.data(), values, sizeof values);
  const auto after = elements(*through({odd}, "fp16")[0].tensor());
  EXPECT_EQ(after[0], 65504.0F);
  EXPECT_EQ(after[1], -65504.0F);
  EXPECT_EQ(after[2], inf);
  EXPECT_EQ(after[3], -inf);
  EXPECT_TRUE(std::isnan(after[4]));
}

struct Quantiser {
  std::string_view name;
  double levels;
};
constexpr Quantiser quantisers[] = {{"int8", 256}, {"int4", 16}, {"int2", 4}};

TEST(Codec, QuantisersStayWithinTheirBoundAndKeepTheZerosOfARelu) {
  for (const auto& [name, levels] : quantisers)
    for (const float scale : {1e-20F, 1.0F, 1e20F}) {
      Tensor tensor = floats({3, 333}, 5, scale);
      const auto before = elements(tensor);
      const auto [least, most] = std::minmax_element(before.begin(), before.end());
      const double bound = (static_cast<double>(*most) - *least) / (2 * (levels - 1)) +
                           std::ldexp(std::max(std::abs(*least), std::abs(*most)), -22);
      const auto after = elements(*through({tensor}, name)[0].tensor());
      for (std::size_t i = 0; i < before.size(); ++i)
        ASSERT_LE(std::abs(static_cast<double>(after[i]) - before[i]), bound) << name;
      for (std::size_t i = 0; i < tensor.numel(); ++i)
        tensor.data_as<float>()[i] = std::max(0.0F, tensor.data_as<float>()[i]);
      const auto relu = elements(*through({tensor}, name)[0].tensor());
      for (std::size_t i = 0; i < before.size(); ++i) ASSERT_TRUE(before[i] > 0 || relu[i] == 0);
    }
}

TEST(Codec, QuantisersAreExactOnTheirOwnLevels) {
  for (const auto& [name, levels] : quantisers) {
    Tensor tensor = core::empty_tensor(DType::float32, {static_cast<std::int64_t>(levels) + 3});
    for (std::size_t i = 0; i < tensor.numel(); ++i)
      tensor.data_as<float>()[i] = static_cast<float>(i % static_cast<std::size_t>(levels)) - 7;
    EXPECT_TRUE(same_elements(tensor, *through({tensor}, name)[0].tensor())) << name;
  }
}

TEST(Codec, QuantisersSendWhatTheyCannotScaleAsItIs) {
  const float inf = std::numeric_limits<float>::infinity();
  const float most = std::numeric_limits<float>::max();
  for (const auto& [name, levels] : quantisers)
    for (const auto& values : std::vector<std::vector<float>>{{1, std::nanf(""), 3},
                                                              {1, inf},
                                                              {-inf, 0},
                                                              {-most, most},
                                                              {0, 1e-44F},
                                                              {2.5F, 2.5F}}) {
      Tensor tensor =
          core::empty_tensor(DType::float32, {static_cast<std::int64_t>(values.size())});
      std::memcpy(tensor.data(), values.data(), values.size() * 4);
      EXPECT_TRUE(same_elements(tensor, *through({tensor}, name)[0].tensor())) << name;
    }
}

TEST(Codec, LossyCodecsAreSmaller) {
  const Tensor tensor = floats({1000});
  const auto raw = encoded({tensor}).size();
  EXPECT_EQ(raw - encoded({tensor}, "fp16").size() + 1, 2000U);  // the name is longer
  EXPECT_EQ(raw - encoded({tensor}, "int8").size() + 1, 3000U - 8U);
  EXPECT_EQ(raw - encoded({tensor}, "int4").size() + 1, 3500U - 8U);
  EXPECT_EQ(raw - encoded({tensor}, "int2").size() + 1, 3750U - 8U);
}

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
  for (const auto name : transport::codec_names()) {
    const Tensor base = floats({8, 8});
    const auto good = encoded({base, view(base, {4, 4}, {8, 2}, 3),
                               Value::Dict{{{Value(std::string("k")), Value(true)}}, "str", "bool"},
                               Value::List{{Value(1.5)}, "float"}},
                              name);
    for (int round = 0; round < 20000; ++round) {
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

TEST(DecodeValues, TakesACodecOfTheApplicationsOwn) {
  class Negated final : public transport::Codec {
   public:
    [[nodiscard]] std::string_view name() const override { return "negated"; }
    [[nodiscard]] bool lossless() const override { return true; }
    [[nodiscard]] std::optional<std::size_t> encoded_size(DType, std::size_t) const override {
      return std::nullopt;
    }
    [[nodiscard]] bool encode(DType, std::span<const std::byte> from,
                              std::vector<std::byte>& out) const override {
      for (const std::byte byte : from) out.push_back(~byte);
      return true;
    }
    [[nodiscard]] core::Result<void> decode(DType, std::span<const std::byte> from,
                                            std::span<std::byte> to) const override {
      if (from.size() != to.size())
        return core::fail(core::Errc::corrupt, "length");
      for (std::size_t i = 0; i < to.size(); ++i) to[i] = ~from[i];
      return {};
    }
  };
  const Negated negated;
  std::vector<std::byte> bytes;
  ASSERT_TRUE(transport::encode_values({floats({9})}, negated, bytes));
  EXPECT_EQ(transport::decode_values(bytes).error().code, core::Errc::not_found);
  transport::DecodeLimits limits;
  limits.codec = &negated;
  EXPECT_TRUE(same_elements(*transport::decode_values(bytes, limits)->at(0).tensor(), floats({9})));
}

}  // namespace
