#include "lib/transport/codec_kernels.hpp"
#include "lib/transport/vector_kernels.hpp"
#include "tests/transport/values_support.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace cleave::test {
namespace {

// All names, with and without zstd.
std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const std::string_view name : transport::codec_names()) {
    names.emplace_back(name);
    names.push_back(std::string(name) + "+zstd");
  }
  return names;
}

Tensor tensor_of(const std::vector<float>& values) {
  Tensor tensor = core::empty_tensor(DType::float32, {static_cast<std::int64_t>(values.size())});
  if (!values.empty())
    std::memcpy(tensor.data(), values.data(), values.size() * sizeof(float));
  return tensor;
}

TEST(Codec, EveryNameIsFoundAndAnUnknownOneIsNot) {
  for (const std::string& name : all_names()) EXPECT_EQ(codec(name).name(), name);
  for (int level = -7; level <= 19; ++level) {
    const std::string name = "q4+zstd:" + std::to_string(level);
    EXPECT_EQ(codec(name).name(), name);
    EXPECT_EQ(&codec(name), &codec(name));
    EXPECT_TRUE(same_elements(*through({floats({100})}, name)[0].tensor(),
                              *through({floats({100})}, "q4")[0].tensor()));
  }
  for (const char* name :
       {"morse", "", "+zstd", "int8+zstd:", "int8+zstd:20", "int8+zstd:-8", "int8+zstd:+3",
        "int8+zstd:03", "int8+zstd:3 ", "int8+zstd+zstd", "int8+lz4", "int8zstd"})
    EXPECT_EQ(transport::find_codec(name).error().code, core::Errc::not_found) << name;
}

TEST(Codec, EveryDtypeButFloat32AndAllOfItIfLosslessComesBackBitForBit) {
  for (std::size_t d = 0; d < core::dtype_count; ++d) {
    Tensor tensor = core::empty_tensor(static_cast<DType>(d), {3, 50});
    for (std::size_t i = 0; i < tensor.nbytes(); ++i)
      tensor.data()[i] = static_cast<std::byte>(i * 37 + d);
    for (const std::string& name : all_names()) {
      if (!codec(name).lossless() && tensor.dtype == DType::float32)
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
constexpr Quantiser quantisers[] = {{"int8", 256}, {"int8c", 256}, {"int4", 16}, {"int2", 4}};

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
      for (const std::size_t count : {values.size(), std::size_t{500}}) {
        std::vector<float> many(count, values.back());
        std::copy(values.begin(), values.end(), many.begin());
        const Tensor tensor = tensor_of(many);
        EXPECT_TRUE(same_elements(tensor, *through({tensor}, name)[0].tensor())) << name;
        const auto compressed = through({tensor}, std::string(name) + "+zstd");
        EXPECT_TRUE(same_elements(tensor, *compressed[0].tensor())) << name;
      }
    }
}

TEST(Codec, BfloatsAreTheNearestForEveryBfloatAndItsNeighbours) {
  const auto coded = [](float value) {
    std::uint16_t half = 0;
    transport::kernels::to_bfloat(&value, 1, reinterpret_cast<std::byte*>(&half));
    return half;
  };
  for (std::uint32_t h = 0; h < 0x7F80; ++h) {
    const auto half = static_cast<std::uint16_t>(h);
    float value = 0;
    transport::kernels::from_bfloat(reinterpret_cast<const std::byte*>(&half), 1, &value);
    const int exponent = static_cast<int>(h >> 7);
    const double closed =
        exponent == 0 ? std::ldexp(h & 0x7FU, -133) : std::ldexp(128 + (h & 0x7FU), exponent - 134);
    ASSERT_EQ(static_cast<double>(value), closed);
    ASSERT_EQ(coded(value), half);
    ASSERT_EQ(coded(-value), half | 0x8000U);
    if (h + 1 < 0x7F80) {
      const float middle = std::bit_cast<float>((h << 16) + 0x8000U);
      ASSERT_EQ(coded(middle), (h & 1U) == 0 ? h : h + 1);
      ASSERT_EQ(coded(std::nextafter(middle, 0.0F)), h);
      ASSERT_EQ(coded(std::nextafter(middle, std::numeric_limits<float>::infinity())), h + 1);
    }
  }
  EXPECT_EQ(coded(std::numeric_limits<float>::max()), 0x7F7F);
  EXPECT_EQ(coded(std::numeric_limits<float>::infinity()), 0x7F80);
  EXPECT_EQ(coded(-std::numeric_limits<float>::infinity()), 0xFF80);
  EXPECT_GT(coded(std::bit_cast<float>(0x7F800001U)), 0x7F80);  // a signalling NaN stays one
}

TEST(Codec, Bf16StaysWithinItsBound) {
  for (const float scale : {1e-42F, 1e-30F, 1.0F, 1e38F}) {
    const auto before = elements(floats({4, 1000}, 3, scale));
    const auto after = elements(*through({tensor_of(before)}, "bf16")[0].tensor());
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (!std::isfinite(before[i]))
        continue;
      ASSERT_LE(std::abs(static_cast<double>(after[i]) - before[i]),
                std::max(std::ldexp(std::abs(static_cast<double>(before[i])), -8),
                         std::ldexp(1.0, -134)));
    }
  }
}

// Channel c of a tensor as one of its own, row-major.
Tensor channel_of(const Tensor& tensor, std::size_t dimension, std::int64_t channel) {
  std::vector<std::int64_t> sizes = tensor.sizes;
  sizes[dimension] = 1;
  return core::contiguous_copy(
      view(tensor, sizes, tensor.strides,
           tensor.byte_offset / 4 + static_cast<std::size_t>(channel * tensor.strides[dimension])));
}

TEST(Codec, Int8cOfATensorIsInt8OfEachChannel) {
  struct Case {
    Tensor tensor;
    std::size_t dimension;
  };
  const Tensor image = floats({2, 7, 9, 5});
  const Tensor pixels = floats({2, 9, 5, 7});
  const std::vector<Case> cases{
      {image, 1},
      {view(pixels, {2, 7, 9, 5}, {315, 1, 35, 7}, 0), 1},   // channels last
      {view(pixels, {2, 7, 3, 5}, {315, 1, 35, 7}, 35), 1},  // with gaps
      {floats({3, 40, 3, 3}), 1},                            // short runs
      {floats({17, 3}), 1},
      {floats({2, 50, 11}), 2},
      {floats({1, 3, 300, 300}), 1},  // a channel is longer than a piece
      {floats({50, 7, 43, 13}), 1},   // pieces begin amid rows of channels
      {floats({90, 1100}), 1},
      {floats({2, 3, 4, 5, 6}), 1},
  };
  for (const Case& c : cases) {
    Tensor scaled = c.tensor;  // channels of unlike ranges
    const Tensor after = *through({scaled}, "int8c")[0].tensor();
    ASSERT_EQ(after.sizes, scaled.sizes);
    for (std::int64_t k = 0; k < scaled.sizes[c.dimension]; ++k) {
      const Tensor alone = channel_of(scaled, c.dimension, k);
      ASSERT_TRUE(
          same_elements(*through({alone}, "int8")[0].tensor(), channel_of(after, c.dimension, k)))
          << "channel " << k << " of " << scaled.sizes.size() << " dimensions";
    }
  }
}

TEST(Codec, Int8cKeepsASmallChannelBesideALargeOne) {
  Tensor tensor = floats({1, 2, 30, 30});
  for (std::size_t i = 0; i < 900; ++i) tensor.data_as<float>()[i] *= 1e-6F;
  const auto before = elements(tensor);
  const auto int8 = elements(*through({tensor}, "int8")[0].tensor());
  const auto int8c = elements(*through({tensor}, "int8c")[0].tensor());
  double whole = 0, channel = 0;
  for (std::size_t i = 0; i < 900; ++i) {
    whole = std::max(whole, std::abs(static_cast<double>(int8[i]) - before[i]));
    channel = std::max(channel, std::abs(static_cast<double>(int8c[i]) - before[i]));
  }
  EXPECT_GT(whole, 1e-3);
  EXPECT_LT(channel, 1e-7);
}

TEST(Codec, Int8cGivesChannelsOfFewElementsOneRange) {
  const Tensor row = floats({1, 512});
  EXPECT_TRUE(
      same_elements(*through({row}, "int8c")[0].tensor(), *through({row}, "int8")[0].tensor()));
  EXPECT_EQ(encoded({row}, "int8c").size(), encoded({row}, "int8").size() + 1);
}

TEST(Codec, GroupsStayWithinTheirBoundWhateverTheirRange) {
  std::mt19937_64 random(21);
  const std::vector<std::pair<std::string, double>> codecs{{"q6", 64}, {"q4", 16}};
  for (const auto& [name, levels] : codecs)
    for (const float scale : {1e-44F, 1e-38F, 1e-20F, 1.0F, 1e20F, 1e33F})
      for (const float offset : {0.0F, 1.0F, -1000.0F}) {
        std::vector<float> before = elements(floats({5, 333}, random(), scale));
        for (float& value : before) value += offset * scale;
        before[70] = 0;
        before[71] = -0.0F;
        const auto after = elements(*through({tensor_of(before)}, name)[0].tensor());
        for (std::size_t i = 0; i < before.size(); ++i) {
          const std::size_t group = i / 64 * 64;
          double least = before[group], most = least;
          for (std::size_t k = group; k < std::min(group + 64, before.size()); ++k) {
            least = std::min<double>(least, before[k]);
            most = std::max<double>(most, before[k]);
          }
          const double largest = std::max(std::abs(least), std::abs(most));
          const double bound =
              (1 + 0x1p-6) * (most - least + largest * 0x1p-7) / (2 * (levels - 1)) +
              largest * 0x1p-22 + 0x1p-120;
          ASSERT_LE(std::abs(static_cast<double>(after[i]) - before[i]), bound)
              << name << " " << scale << " " << offset << " at " << i;
        }
      }
}

TEST(Codec, GroupsKeepTheZerosOfARelu) {
  for (const char* name : {"q6", "q4", "q4+zstd"}) {
    std::vector<float> before = elements(floats({1000}));
    for (float& value : before) value = std::max(value, 0.0F);
    const auto after = elements(*through({tensor_of(before)}, name)[0].tensor());
    for (std::size_t i = 0; i < before.size(); ++i) ASSERT_TRUE(before[i] > 0 || after[i] == 0);
  }
}

TEST(Codec, GroupsSendWhatTheyCannotScaleAsItIs) {
  for (const char* name : {"q6", "q4", "q6+zstd:1"})
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::max()}) {
      auto values = elements(floats({200}));
      values[131] = bad;
      EXPECT_TRUE(same_elements(tensor_of(values), *through({tensor_of(values)}, name)[0].tensor()))
          << name;
    }
}

// What the format says, with arithmetic instead of shifts, for any bytes at all.
TEST(Codec, GroupsDecodeAsTheFormatSays) {
  std::mt19937_64 random(5);
  const auto bfloat = [](const std::byte* at) {
    const auto bits = std::to_integer<std::uint32_t>(at[0]) * 65536 +
                      std::to_integer<std::uint32_t>(at[1]) * 16777216;
    return std::bit_cast<float>(bits);
  };
  const auto check = [&]<unsigned bits>(std::integral_constant<unsigned, bits>) {
    for (const std::size_t count : {1, 63, 64, 65, 200}) {
      const std::size_t groups = (count + 63) / 64, group_bytes = 8 * bits;
      std::vector<std::byte> message(groups * (4 + group_bytes));
      for (std::byte& byte : message) byte = static_cast<std::byte>(random());
      for (std::size_t g = 0; g < 2 * groups; ++g)  // no NaN: they are not equal to themselves
        message[2 * g + 1] &= std::byte{0xBF};
      std::vector<float> given(count), same(count);
      transport::kernels::decode_groups<bits>(message.data(), count, given.data());
      transport::kernels::portable::decode_groups<bits>(message.data(), count, same.data());
      ASSERT_EQ(given, same);
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t g = i / 64, k = i % 64;
        const std::byte* numbers = message.data() + 4 * groups + g * group_bytes;
        std::uint32_t number = std::to_integer<std::uint32_t>(numbers[k % 32]);
        number = k < 32 ? number % 16 : number / 16;
        if (bits == 6) {
          std::uint32_t upper = std::to_integer<std::uint32_t>(numbers[32 + k % 16]);
          for (std::size_t n = 0; n < k / 16; ++n) upper /= 4;
          number += 16 * (upper % 4);
        }
        ASSERT_EQ(given[i], bfloat(message.data() + 2 * groups + 2 * g) +
                                static_cast<float>(number) * bfloat(message.data() + 2 * g));
      }
    }
  };
  check(std::integral_constant<unsigned, 6>());
  check(std::integral_constant<unsigned, 4>());
}

TEST(Codec, LoopsGiveTheSameBitsWithAndWithoutVectors) {
  namespace kernels = transport::kernels;
  std::mt19937_64 random(9);
  for (int round = 0; round < 200; ++round) {
    const std::size_t count = 1 + random() % 300;
    std::vector<float> any(count), x(count), y(count);
    for (float& value : any) value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    std::vector<std::byte> a(8 * count + 64), b(8 * count + 64);
    kernels::to_bfloat(any.data(), count, a.data());
    kernels::portable::to_bfloat(any.data(), count, b.data());
    ASSERT_EQ(a, b);
    kernels::from_bfloat(a.data(), count, x.data());
    kernels::portable::from_bfloat(a.data(), count, y.data());
    ASSERT_EQ(std::memcmp(x.data(), y.data(), 4 * count), 0);
    ASSERT_EQ(kernels::largest_magnitude(any.data(), count),
              kernels::portable::largest_magnitude(any.data(), count));
    const auto finite = elements(floats({static_cast<std::int64_t>(count)}, random(), 1e-3F));
    const auto least = elements(floats({static_cast<std::int64_t>(count)}, random(), 1e-3F));
    kernels::encode_groups<6>(finite.data(), count, a.data());
    kernels::portable::encode_groups<6>(finite.data(), count, b.data());
    ASSERT_EQ(a, b);
    kernels::encode_groups<4>(finite.data(), count, a.data());
    kernels::portable::encode_groups<4>(finite.data(), count, b.data());
    ASSERT_EQ(a, b);
    std::vector<float> low = least, high = least, low2 = least, high2 = least;
    kernels::widen_row(finite.data(), count, low.data(), high.data());
    kernels::portable::widen_row(finite.data(), count, low2.data(), high2.data());
    ASSERT_EQ(low, low2);
    ASSERT_EQ(high, high2);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(low[i], std::min(finite[i], least[i]));
      ASSERT_EQ(high[i], std::max(finite[i], least[i]));
      x[i] = high[i] == low[i] ? 0 : 255 / (high[i] - low[i]);
    }
    kernels::quantize_row(finite.data(), count, low.data(), x.data(), a.data());
    kernels::portable::quantize_row(finite.data(), count, low.data(), x.data(), b.data());
    ASSERT_EQ(a, b);
    kernels::dequantize_row(a.data(), count, low.data(), high.data(), x.data());
    kernels::portable::dequantize_row(a.data(), count, low.data(), high.data(), y.data());
    ASSERT_EQ(x, y);
    for (std::byte& byte : a) byte = static_cast<std::byte>(random());
    std::vector<std::byte> apart(2 * count), together(2 * count);
    kernels::split_bytes(a.data(), count, apart.data());
    for (std::size_t i = 0; i < 2 * count; ++i) ASSERT_EQ(apart[i % 2 * count + i / 2], a[i]);
    kernels::join_bytes(apart.data(), count, together.data());
    ASSERT_TRUE(std::equal(together.begin(), together.end(), a.begin()));
  }
}

TEST(Codec, EmptyAndScalarTensorsComeBack) {
  for (const std::string& name : all_names()) {
    const auto back = through({floats({0}), floats({}), floats({3, 0, 5}), floats({1})}, name);
    ASSERT_EQ(back.size(), 4U);
    EXPECT_TRUE(same_elements(*back[0].tensor(), floats({0})));
    EXPECT_EQ(back[1].tensor()->sizes.size(), 0U);
    EXPECT_EQ(back[2].tensor()->sizes, (std::vector<std::int64_t>{3, 0, 5}));
    for (const std::size_t i : {1U, 3U})
      EXPECT_NEAR(elements(*back[i].tensor())[0], elements(floats({1}))[0], 0.01) << name;
  }
}

TEST(Codec, ZstdChangesNothingButTheSize) {
  std::vector<float> relu = elements(floats({100000}));
  for (float& value : relu) value = std::max(value, 0.0F);
  for (const std::string_view name : transport::codec_names()) {
    const std::string compressed = std::string(name) + "+zstd";
    const auto plain = encoded({tensor_of(relu)}, name);
    EXPECT_LT(encoded({tensor_of(relu)}, compressed).size(), plain.size()) << name;
    EXPECT_TRUE(same_elements(*through({tensor_of(relu)}, name)[0].tensor(),
                              *through({tensor_of(relu)}, compressed)[0].tensor()));
    EXPECT_EQ(codec(name).lossless(), codec(compressed).lossless());
  }
  const Tensor noise = floats({100000});  // what cannot be compressed grows by little
  EXPECT_LT(encoded({noise}, "raw+zstd").size(), noise.nbytes() + 100);
}

TEST(Codec, TakesTheBytesThatItsFormatSays) {
  const Tensor tensor = floats({10, 100});
  const auto raw = encoded({tensor}).size();
  const auto saved = [&](std::string_view name) {  // the name is longer, and a piece has a length
    return raw - encoded({tensor}, name).size() + name.size() - 3 + 4;
  };
  EXPECT_EQ(saved("fp16"), 2000U);
  EXPECT_EQ(saved("bf16"), 2000U);
  EXPECT_EQ(saved("int8"), 3000U - 8U);
  EXPECT_EQ(saved("int8c"), 3000U - 8U);  // 10 elements a channel
  EXPECT_EQ(raw - encoded({floats({20, 50})}, "int8c").size() + 6, 3000U - 50U * 8U);
  EXPECT_EQ(saved("q6"), 4000U - 16 * 52);
  EXPECT_EQ(saved("q4"), 4000U - 16 * 36);
  EXPECT_EQ(saved("int4"), 3500U - 8U);
  EXPECT_EQ(saved("int2"), 3750U - 8U);
}

TEST(Codec, TellsTheSizeOfBlocksThatNoMemoryHolds) {
  const std::size_t elements = std::size_t{1} << 40;
  const transport::BlockShape shape{DType::float32, elements, 1, 1};
  EXPECT_EQ(codec("raw").bound(shape, elements), 4 * elements);
  EXPECT_EQ(codec("fp16").bound(shape, elements), 2 * elements);
  EXPECT_EQ(codec("int8").bound(shape, elements), elements);
  EXPECT_EQ(codec("int4").bound(shape, elements + 1), elements / 2 + 1);
  EXPECT_EQ(codec("q4").bound(shape, elements + 1), (elements / 64 + 1) * 36);
  EXPECT_EQ(codec("q6").bound(shape, elements), elements / 64 * 52);
  EXPECT_EQ(codec("int8c").header_size({DType::float32, elements, 1U << 20, 1}), 8U << 20);
  EXPECT_GT(codec("q4+zstd").bound(shape, elements), 4 * elements);
}

}  // namespace
}  // namespace cleave::test
