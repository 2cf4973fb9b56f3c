#include <cleave/data/image.hpp>

#include <algorithm>
#include <cmath>
// jpeglib.h uses size_t and FILE without including their headers.
#include <cstdio>
#include <cstdlib>
//
#include "tests/data/support.hpp"

#include <jpeglib.h>
#include <png.h>

namespace {

using namespace cleave;
using core::Errc;
using data::Image;
using data::to_input;

Image gradient(std::uint32_t width, std::uint32_t height, std::uint32_t channels) {
  Image image{.width = width, .height = height, .channels = channels, .pixels = {}};
  for (std::uint32_t y = 0; y < height; ++y)
    for (std::uint32_t x = 0; x < width; ++x)
      for (std::uint32_t c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<std::uint8_t>((x * 37 + y * 91 + c * 50) % 256));
  return image;
}

std::string png_of(const Image& image, png_uint_32 format) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = image.width;
  png.height = image.height;
  png.format = format;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&png, nullptr, &size, 0, image.pixels.data(), 0, nullptr);
  std::string bytes(size, '\0');
  EXPECT_NE(
      png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr), 0);
  bytes.resize(size);
  return bytes;
}

std::string jpeg_of(const Image& image) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = image.width;
  info.image_height = image.height;
  info.input_components = static_cast<int>(image.channels);
  info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<unsigned char*>(image.pixels.data() + std::size_t{info.next_scanline} *
                                                                     image.width * image.channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string bytes(reinterpret_cast<char*>(buffer), size);
  jpeg_destroy_compress(&info);
  std::free(buffer);
  return bytes;
}

core::Result<Image> decode(const std::string& bytes) {
  return data::decode_image(std::as_bytes(std::span(bytes.data(), bytes.size())), "x");
}

TEST(Images, APngComesBackPixelByPixel) {
  for (const std::uint32_t channels : {1u, 3u}) {
    const Image image = gradient(13, 7, channels);
    const auto decoded = decode(png_of(image, channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB));
    ASSERT_TRUE(decoded) << decoded.error().message();
    EXPECT_EQ(decoded->width, 13u);
    EXPECT_EQ(decoded->height, 7u);
    EXPECT_EQ(decoded->channels, channels);
    EXPECT_EQ(decoded->pixels, image.pixels);
  }
}

TEST(Images, TransparencyIsLaidOverBlack) {
  Image image{.width = 2, .height = 1, .channels = 4, .pixels = {200, 100, 50, 255, 9, 9, 9, 0}};
  const auto decoded = decode(png_of(image, PNG_FORMAT_RGBA));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(decoded->pixels, (std::vector<std::uint8_t>{200, 100, 50, 0, 0, 0}));
}

TEST(Images, AJpegComesBackNearly) {
  for (const std::uint32_t channels : {1u, 3u}) {
    Image image{.width = 16, .height = 16, .channels = channels, .pixels = {}};
    for (std::uint32_t i = 0; i < 256 * channels; ++i)
      image.pixels.push_back(static_cast<std::uint8_t>(40 * (i % channels) + i / channels / 2));
    const auto decoded = decode(jpeg_of(image));
    ASSERT_TRUE(decoded) << decoded.error().message();
    EXPECT_EQ(decoded->channels, channels);
    ASSERT_EQ(decoded->pixels.size(), image.pixels.size());
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      EXPECT_NEAR(decoded->pixels[i], image.pixels[i], 12);
  }
}

TEST(Images, ACutPictureIsAnError) {
  for (const std::string& bytes :
       {png_of(gradient(13, 7, 3), PNG_FORMAT_RGB), jpeg_of(gradient(13, 7, 3))}) {
    for (std::size_t length = 0; length + 14 < bytes.size(); ++length) {
      const auto decoded = decode(bytes.substr(0, length));
      EXPECT_FALSE(decoded) << length << " of " << bytes.size();
    }
  }
  EXPECT_EQ(decode("GIF89a").error().code, Errc::unsupported);
  EXPECT_EQ(decode("").error().code, Errc::unsupported);
}

TEST(Images, AFlippedByteNeverCrashesTheDecoder) {
  for (const std::string& bytes :
       {png_of(gradient(13, 7, 3), PNG_FORMAT_RGB), jpeg_of(gradient(13, 7, 1))})
    for (std::size_t i = 0; i < bytes.size(); ++i)
      for (const int flip : {1, 0x10, 0x80, 0xff}) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(damaged[i] ^ flip);
        const auto decoded = decode(damaged);
        if (decoded) {
          EXPECT_EQ(decoded->pixels.size(),
                    std::size_t{decoded->width} * decoded->height * decoded->channels);
        }
      }
}

TEST(Images, AHugePictureIsRefusedBeforeItIsDecoded) {
  // A PNG's width is at byte 16; its header's checksum at byte 29 has to fit.
  std::string bytes = png_of(gradient(13, 7, 1), PNG_FORMAT_GRAY);
  bytes[18] = '\x40';  // 16,397 wide
  bytes[21] = '\x01';  // 65,543 high
  std::uint32_t crc = 0xffffffffu;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<unsigned char>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0xedb88320u ^ (crc >> 1) : crc >> 1;
  }
  crc = ~crc;
  for (int i = 0; i < 4; ++i)
    bytes[29 + static_cast<std::size_t>(i)] = static_cast<char>(crc >> (24 - 8 * i));
  EXPECT_EQ(decode(bytes).error().code, Errc::exhausted);
}

// Interpolates by weighing every source pixel with the tent around the wanted point, which is what
// bilinear interpolation with clamped borders comes to.
double tent(const Image& image, std::uint32_t channel, double x, double y) {
  x = std::clamp(x, 0.0, image.width - 1.0);
  y = std::clamp(y, 0.0, image.height - 1.0);
  double sum = 0;
  for (std::uint32_t j = 0; j < image.height; ++j)
    for (std::uint32_t i = 0; i < image.width; ++i) {
      const double weight = std::max(0.0, 1 - std::abs(x - i)) * std::max(0.0, 1 - std::abs(y - j));
      sum += weight * image.pixels[(std::size_t{j} * image.width + i) * image.channels + channel];
    }
  return sum;
}

TEST(ToInput, ResizesBetweenPixelCentres) {
  const std::pair<std::int64_t, std::int64_t> targets[] = {{5, 7}, {28, 28}, {3, 2},
                                                           {1, 1}, {14, 9},  {112, 31}};
  const Image image = gradient(7, 5, 3);
  for (const auto& [height, width] : targets) {
    const std::int64_t sizes[] = {1, 3, height, width};
    const auto tensor = to_input(image, sizes);
    ASSERT_TRUE(tensor) << tensor.error().message();
    EXPECT_EQ(tensor->dtype, core::DType::float32);
    const float* out = tensor->data_as<float>();
    for (std::uint32_t c = 0; c < 3; ++c)
      for (std::int64_t y = 0; y < height; ++y)
        for (std::int64_t x = 0; x < width; ++x) {
          const double sx = (static_cast<double>(x) + 0.5) * 7 / static_cast<double>(width) - 0.5;
          const double sy = (static_cast<double>(y) + 0.5) * 5 / static_cast<double>(height) - 0.5;
          EXPECT_NEAR(*out++, tent(image, c, sx, sy) / 255, 2e-6);
        }
  }
}

// torch.nn.functional.interpolate(torch.tensor([[[[0., 1.], [2., 3.]]]]), size=(4, 4),
// mode='bilinear', align_corners=False), whose values follow from its documented formula.
TEST(ToInput, DoublesATwoByTwoPictureAsTorchDoes) {
  const Image image{.width = 2, .height = 2, .channels = 1, .pixels = {0, 1, 2, 3}};
  const std::int64_t sizes[] = {1, 1, 4, 4};
  const auto tensor = to_input(image, sizes, {.scale = 1, .mean = {}, .deviation = {}});
  ASSERT_TRUE(tensor);
  const float expected[] = {0,    0.25f, 0.75f, 1,    0.5f, 0.75f, 1.25f, 1.5f,
                            1.5f, 1.75f, 2.25f, 2.5f, 2,    2.25f, 2.75f, 3};
  for (int i = 0; i < 16; ++i) EXPECT_FLOAT_EQ(tensor->data_as<float>()[i], expected[i]);
}

TEST(ToInput, NormalisesByChannel) {
  const Image image = gradient(3, 2, 3);
  const std::int64_t sizes[] = {1, 3, 2, 3};
  const data::InputOptions options{
      .scale = 1.0 / 255, .mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}};
  const auto tensor = to_input(image, sizes, options);
  ASSERT_TRUE(tensor);
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t i = 0; i < 6; ++i)
      EXPECT_NEAR(tensor->data_as<float>()[c * 6 + i],
                  (image.pixels[i * 3 + c] / 255.0 - options.mean[c]) / options.deviation[c], 1e-5);
}

TEST(ToInput, RepeatsGreyAndWeighsColours) {
  const std::int64_t colour[] = {1, 3, 1, 1};
  const auto repeated = to_input({.width = 1, .height = 1, .channels = 1, .pixels = {51}}, colour);
  ASSERT_TRUE(repeated);
  for (int c = 0; c < 3; ++c) EXPECT_FLOAT_EQ(repeated->data_as<float>()[c], 0.2f);
  const std::int64_t grey[] = {1, 1, 1, 1};
  const auto weighed =
      to_input({.width = 1, .height = 1, .channels = 3, .pixels = {255, 100, 20}}, grey);
  ASSERT_TRUE(weighed);
  EXPECT_NEAR(weighed->data_as<float>()[0], (0.299 * 255 + 0.587 * 100 + 0.114 * 20) / 255, 1e-6);
}

TEST(ToInput, FlatInputsTakeThePixelsAsTheyLie) {
  const Image image = gradient(4, 3, 1);
  const std::int64_t sizes[] = {1, 12};
  const auto tensor = to_input(image, sizes);
  ASSERT_TRUE(tensor);
  for (std::size_t i = 0; i < 12; ++i)
    EXPECT_NEAR(tensor->data_as<float>()[i], image.pixels[i] / 255.0, 1e-7);
}

TEST(ToInput, RefusesWhatDoesNotFit) {
  const Image image = gradient(4, 3, 1);
  const auto refused = [&](std::vector<std::int64_t> sizes, data::InputOptions options = {}) {
    const auto tensor = to_input(image, sizes, options);
    return !tensor && tensor.error().code == Errc::invalid_argument;
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused({1, 13}));
  EXPECT_TRUE(refused({2, 1, 4, 4}));
  EXPECT_TRUE(refused({1, 2, 4, 4}));
  EXPECT_TRUE(refused({1, 1, 0, 4}));
  EXPECT_TRUE(refused({1, 1, -4, 4}));
  EXPECT_TRUE(refused({1, 1, std::int64_t{1} << 40, std::int64_t{1} << 40}));
  EXPECT_TRUE(refused({1, 1, 4, 4}, {.scale = 1, .mean = {1, 2, 3}, .deviation = {}}));
  EXPECT_TRUE(refused({1, 1, 4, 4}, {.scale = 1, .mean = {}, .deviation = {0}}));
  Image broken = image;
  broken.pixels.pop_back();
  const std::int64_t sizes[] = {1, 1, 4, 4};
  EXPECT_FALSE(to_input(broken, sizes));
}

class ImageFiles : public tests::WithFolder {};

TEST_F(ImageFiles, ErrorsNameTheFile) {
  EXPECT_EQ(data::read_image(folder_ / "none.png").error().code, Errc::not_found);
  const auto bad = data::read_image(put("bad.png", "hello"));
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message().find("bad.png"), std::string::npos);
}

}  // namespace
