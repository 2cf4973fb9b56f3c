#include "lib/data/sources.hpp"

#include <cstring>

namespace cleave::inline v0::data {
namespace {

using core::DType;
using core::Errc;
using core::fail;
using core::Result;

std::string shape_text(std::span<const std::int64_t> sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text.empty() ? "a scalar" : text;
}

class TensorSource final : public LabelledInputs::Source {
 public:
  TensorSource(core::Tensor samples, std::string where)
      : samples_(std::move(samples)),
        where_(std::move(where)),
        each_(samples_.sizes.begin() + 1, samples_.sizes.end()),
        bytes_(samples_.nbytes() / static_cast<std::size_t>(samples_.sizes[0])) {}

  [[nodiscard]] std::size_t size() const override {
    return static_cast<std::size_t>(samples_.sizes[0]);
  }
  [[nodiscard]] std::string name(std::size_t index) const override {
    return where_ + "[" + std::to_string(index) + "]";
  }
  [[nodiscard]] Result<core::Tensor> input(std::size_t index, std::span<const std::int64_t> sizes,
                                           const InputOptions& options) const override {
    const std::byte* data = samples_.data() + index * bytes_;
    if (samples_.dtype == DType::uint8) {
      Image image;
      image.height = static_cast<std::uint32_t>(each_[0]);
      image.width = static_cast<std::uint32_t>(each_[1]);
      image.channels = each_.size() == 3 ? static_cast<std::uint32_t>(each_[2]) : 1;
      const auto* pixels = reinterpret_cast<const std::uint8_t*>(data);
      image.pixels.assign(pixels, pixels + bytes_);
      auto tensor = to_input(image, sizes, options);
      if (!tensor)
        tensor.error().where = name(index) + " as " + shape_text(sizes);
      return tensor;
    }
    std::uint64_t wanted = 1;
    bool fits = true;
    for (const std::int64_t size : sizes)
      fits = fits && size > 0 &&
             !__builtin_mul_overflow(wanted, static_cast<std::uint64_t>(size), &wanted);
    const std::size_t count = bytes_ / core::size_of(samples_.dtype);
    if (!fits || wanted != count)
      return fail(Errc::invalid_argument,
                  "an input of " + shape_text(each_) + " does not fit " + shape_text(sizes),
                  name(index));
    const std::vector<std::int64_t> shape(sizes.begin(), sizes.end());
    if (samples_.dtype != DType::float64) {
      core::Tensor tensor = core::empty_tensor(samples_.dtype, shape);
      std::memcpy(tensor.data(), data, bytes_);
      return tensor;
    }
    core::Tensor tensor = core::empty_tensor(DType::float32, shape);
    const auto* values = reinterpret_cast<const double*>(data);
    for (std::size_t i = 0; i < count; ++i)
      tensor.data_as<float>()[i] = static_cast<float>(values[i]);
    return tensor;
  }

 private:
  core::Tensor samples_;
  std::string where_;
  std::vector<std::int64_t> each_;  // the sizes of one input
  std::size_t bytes_;               // and what it takes
};

class FileSource final : public LabelledInputs::Source {
 public:
  explicit FileSource(std::vector<std::filesystem::path> files) : files_(std::move(files)) {}

  [[nodiscard]] std::size_t size() const override { return files_.size(); }
  [[nodiscard]] std::string name(std::size_t index) const override {
    return files_[index].string();
  }
  [[nodiscard]] Result<core::Tensor> input(std::size_t index, std::span<const std::int64_t> sizes,
                                           const InputOptions& options) const override {
    const auto image = read_image(files_[index]);
    if (!image)
      return fail(image);
    auto tensor = to_input(*image, sizes, options);
    if (!tensor)
      tensor.error().where = name(index) + " as " + shape_text(sizes);
    return tensor;
  }

 private:
  std::vector<std::filesystem::path> files_;
};

}  // namespace

Result<std::shared_ptr<LabelledInputs::Source>> tensor_source(core::Tensor samples,
                                                              std::string where) {
  const auto& sizes = samples.sizes;
  if (sizes.size() < 2 || samples.numel() == 0)
    return fail(Errc::unsupported,
                "an array of " + shape_text(sizes) +
                    " holds no inputs; the first dimension counts "
                    "them, the others are each one's shape",
                where);
  const bool pictures =
      sizes.size() == 3 || (sizes.size() == 4 && (sizes[3] == 1 || sizes[3] == 3));
  if (samples.dtype == DType::uint8 &&
      (!pictures || sizes[1] > UINT32_MAX || sizes[2] > UINT32_MAX))
    return fail(Errc::unsupported, "8-bit pictures of " + shape_text(sizes), where,
                "they have to be N x height x width, or that with 1 or 3 channels last");
  return std::make_shared<TensorSource>(std::move(samples), std::move(where));
}

std::shared_ptr<LabelledInputs::Source> file_source(std::vector<std::filesystem::path> files) {
  return std::make_shared<FileSource>(std::move(files));
}

}  // namespace cleave::inline v0::data
