#include <cleave/core/file.hpp>
#include <cleave/data/image.hpp>
// jpeglib.h uses size_t and FILE without including their headers.
#include <csetjmp>
#include <cstdio>
#include <cstring>
//
#include <jpeglib.h>
#include <png.h>

namespace cleave::inline v0::data {
namespace {

using core::Errc;
using core::fail;
using core::Result;

constexpr std::size_t image_file_limit = std::size_t{256} << 20;

bool is_png(std::span<const std::byte> bytes) {
  return bytes.size() >= 8 && std::memcmp(bytes.data(), "\x89PNG\r\n\x1a\n", 8) == 0;
}

bool is_jpeg(std::span<const std::byte> bytes) {
  return bytes.size() >= 3 && std::memcmp(bytes.data(), "\xff\xd8\xff", 3) == 0;
}

tl::unexpected<core::Error> too_large(const std::string& where) {
  return fail(Errc::exhausted,
              "a picture of more than " + std::to_string(image_pixel_limit) + " pixels", where);
}

Result<Image> decode_png(std::span<const std::byte> bytes, const std::string& where) {
  struct Reader {
    png_image image{};
    ~Reader() { png_image_free(&image); }
  } reader;
  png_image& png = reader.image;
  png.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0)
    return fail(Errc::corrupt, std::string("not a readable PNG: ") + png.message, where);
  if (png.width == 0 || png.height == 0 ||
      std::uint64_t{png.width} * png.height > image_pixel_limit)
    return too_large(where);
  const bool colour = (png.format & PNG_FORMAT_FLAG_COLOR) != 0;
  png.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Image image{.width = png.width, .height = png.height, .channels = colour ? 3u : 1u, .pixels = {}};
  image.pixels.resize(std::size_t{image.width} * image.height * image.channels);
  const png_color black{0, 0, 0};
  if (png_image_finish_read(&png, &black, image.pixels.data(), 0, nullptr) == 0)
    return fail(Errc::corrupt, std::string("not a readable PNG: ") + png.message, where);
  return image;
}

// libjpeg reports errors by a call that must not return: out of it by longjmp.
struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf out;
  char message[JMSG_LENGTH_MAX];
  long warnings;
};

void jpeg_fail(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->out, 1);
}

// Warnings (negative levels) mean damaged data that libjpeg papers over with grey.
void jpeg_message(j_common_ptr info, int level) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  if (level < 0 && errors->warnings++ == 0)
    info->err->format_message(info, errors->message);
}

enum class JpegStatus { done, damaged, too_large };

// Holds nothing that needs a destructor, since longjmp would skip it; `image` lives in the caller.
JpegStatus read_jpeg(std::span<const std::byte> bytes, JpegErrors& errors, Image& image) {
  jpeg_decompress_struct info;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = jpeg_fail;
  errors.manager.emit_message = jpeg_message;
  jpeg_create_decompress(&info);
  if (setjmp(errors.out) != 0) {
    jpeg_destroy_decompress(&info);
    return JpegStatus::damaged;
  }
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  if (std::uint64_t{info.image_width} * info.image_height > image_pixel_limit) {
    jpeg_destroy_decompress(&info);
    return JpegStatus::too_large;
  }
  info.out_color_space = info.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&info);
  image.width = info.output_width;
  image.height = info.output_height;
  image.channels = static_cast<std::uint32_t>(info.output_components);
  const std::size_t row = std::size_t{image.width} * image.channels;
  image.pixels.resize(row * image.height);
  while (info.output_scanline < info.output_height) {
    unsigned char* line = image.pixels.data() + row * info.output_scanline;
    jpeg_read_scanlines(&info, &line, 1);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return errors.warnings == 0 ? JpegStatus::done : JpegStatus::damaged;
}

Result<Image> decode_jpeg(std::span<const std::byte> bytes, const std::string& where) {
  JpegErrors errors{};
  Image image;
  switch (read_jpeg(bytes, errors, image)) {
    case JpegStatus::done:
      return image;
    case JpegStatus::too_large:
      return too_large(where);
    case JpegStatus::damaged:
      break;
  }
  return fail(Errc::corrupt, std::string("not a readable JPEG: ") + errors.message, where);
}

}  // namespace

Result<Image> decode_image(std::span<const std::byte> bytes, const std::string& where) {
  if (is_png(bytes))
    return decode_png(bytes, where);
  if (is_jpeg(bytes))
    return decode_jpeg(bytes, where);
  return fail(Errc::unsupported, "neither a PNG nor a JPEG", where);
}

Result<Image> read_image(const std::filesystem::path& path) {
  const auto file = core::read_file(path, image_file_limit);
  if (!file)
    return fail(file);
  return decode_image(*file, path.string());
}

}  // namespace cleave::inline v0::data
