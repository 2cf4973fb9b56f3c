// The two operators of torchvision that detection networks in TorchScript files call. Written after
// what they are documented to compute; compared with torchvision's results in tests/torchvision.
#include "lib/model/op_library.hpp"
#include "lib/model/torch_pch.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <vector>

namespace cleave::inline v0::model {
namespace {

// Greedy: a box is kept unless one with a higher score that is kept overlaps it by more than the
// threshold. Boxes are [n, 4] as x1, y1, x2, y2; the result is indices by falling score.
template <class T>
at::Tensor nms_of(const at::Tensor& boxes, const at::Tensor& scores, double threshold) {
  const at::Tensor rows = boxes.contiguous();
  const at::Tensor order =
      std::get<1>(scores.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true)).contiguous();
  const auto count = static_cast<std::size_t>(rows.size(0));
  const T* box = rows.data_ptr<T>();
  const std::int64_t* by_score = order.data_ptr<std::int64_t>();
  std::vector<T> area(count);
  for (std::size_t i = 0; i < count; ++i)
    area[i] = (box[4 * i + 2] - box[4 * i]) * (box[4 * i + 3] - box[4 * i + 1]);
  std::vector<bool> dropped(count, false);
  std::vector<std::int64_t> kept;
  for (std::size_t a = 0; a < count; ++a) {
    const auto i = static_cast<std::size_t>(by_score[a]);
    if (dropped[i])
      continue;
    kept.push_back(static_cast<std::int64_t>(i));
    for (std::size_t b = a + 1; b < count; ++b) {
      const auto j = static_cast<std::size_t>(by_score[b]);
      if (dropped[j])
        continue;
      const T left = std::max(box[4 * i], box[4 * j]);
      const T top = std::max(box[4 * i + 1], box[4 * j + 1]);
      const T right = std::min(box[4 * i + 2], box[4 * j + 2]);
      const T bottom = std::min(box[4 * i + 3], box[4 * j + 3]);
      const T common = std::max(T(0), right - left) * std::max(T(0), bottom - top);
      dropped[j] = static_cast<double>(common / (area[i] + area[j] - common)) > threshold;
    }
  }
  at::Tensor result = at::empty({static_cast<std::int64_t>(kept.size())}, at::kLong);
  std::copy(kept.begin(), kept.end(), result.data_ptr<std::int64_t>());
  return result;
}

at::Tensor nms(const at::Tensor& boxes, const at::Tensor& scores, double threshold) {
  TORCH_CHECK(boxes.dim() == 2 && boxes.size(1) == 4, "nms takes boxes [n, 4], not ",
              boxes.sizes());
  TORCH_CHECK(scores.dim() == 1 && scores.size(0) == boxes.size(0),
              "nms takes a score for each of ", boxes.size(0), " boxes, not ", scores.sizes());
  TORCH_CHECK(scores.scalar_type() == boxes.scalar_type(),
              "nms takes boxes and scores of one element type");
  if (boxes.scalar_type() == at::kDouble)
    return nms_of<double>(boxes, scores, threshold);
  TORCH_CHECK(boxes.scalar_type() == at::kFloat, "nms takes float32 or float64");
  return nms_of<float>(boxes, scores, threshold);
}

// Where a sample falls between four pixels, and how much each counts.
template <class T>
struct Sample {
  std::int64_t at[4] = {0, 0, 0, 0};
  T weight[4] = {0, 0, 0, 0};
};

template <class T>
Sample<T> sample_at(T y, T x, std::int64_t height, std::int64_t width) {
  Sample<T> sample;
  if (y < T(-1) || y > static_cast<T>(height) || x < T(-1) || x > static_cast<T>(width))
    return sample;  // outside by more than a pixel: nothing
  y = std::max(y, T(0));
  x = std::max(x, T(0));
  auto top = static_cast<std::int64_t>(y), left = static_cast<std::int64_t>(x);
  if (top >= height - 1) {
    top = height - 1;
    y = static_cast<T>(top);
  }
  if (left >= width - 1) {
    left = width - 1;
    x = static_cast<T>(left);
  }
  const std::int64_t bottom = std::min(top + 1, height - 1), right = std::min(left + 1, width - 1);
  const T down = y - static_cast<T>(top), over = x - static_cast<T>(left);
  const T up = T(1) - down, back = T(1) - over;
  sample.at[0] = top * width + left;
  sample.at[1] = top * width + right;
  sample.at[2] = bottom * width + left;
  sample.at[3] = bottom * width + right;
  sample.weight[0] = up * back;
  sample.weight[1] = up * over;
  sample.weight[2] = down * back;
  sample.weight[3] = down * over;
  return sample;
}

// He et al., "Mask R-CNN", 2017, section 3: each region is divided into bins, each bin's value is
// the mean of bilinear samples at regular places. Regions are [k, 5] as batch index, x1, y1, x2,
// y2; the result is [k, channels, pooled_height, pooled_width].
template <class T>
at::Tensor roi_align_of(const at::Tensor& input, const at::Tensor& rois, double spatial_scale,
                        std::int64_t pooled_height, std::int64_t pooled_width,
                        std::int64_t sampling_ratio, bool aligned) {
  const at::Tensor maps = input.contiguous(), regions = rois.contiguous();
  const std::int64_t batch = maps.size(0), channels = maps.size(1), height = maps.size(2),
                     width = maps.size(3), count = regions.size(0);
  at::Tensor result = at::empty({count, channels, pooled_height, pooled_width}, maps.options());
  const T* const map = maps.data_ptr<T>();
  const T* const region = regions.data_ptr<T>();
  T* const out = result.data_ptr<T>();
  const T scale = static_cast<T>(spatial_scale), offset = aligned ? T(0.5) : T(0);
  at::parallel_for(0, count, 1, [&](std::int64_t first, std::int64_t last) {
    std::vector<Sample<T>> samples;
    for (std::int64_t k = first; k < last; ++k) {
      const T* const r = region + 5 * k;
      const auto image = static_cast<std::int64_t>(r[0]);
      TORCH_CHECK(image >= 0 && image < batch, "roi_align: region ", k, " is of image ", image,
                  " of ", batch);
      const T x1 = r[1] * scale - offset, y1 = r[2] * scale - offset;
      T w = r[3] * scale - offset - x1, h = r[4] * scale - offset - y1;
      if (!aligned) {  // regions are a pixel wide at least
        w = std::max(w, T(1));
        h = std::max(h, T(1));
      }
      const T bin_h = h / static_cast<T>(pooled_height), bin_w = w / static_cast<T>(pooled_width);
      const auto grid = [&](T size, std::int64_t pooled) {
        return sampling_ratio > 0
                   ? sampling_ratio
                   : static_cast<std::int64_t>(std::ceil(size / static_cast<T>(pooled)));
      };
      const std::int64_t grid_h = grid(h, pooled_height), grid_w = grid(w, pooled_width);
      const auto of_bin = std::max<std::int64_t>(grid_h * grid_w, 1);
      samples.clear();
      for (std::int64_t ph = 0; ph < pooled_height; ++ph) {
        for (std::int64_t pw = 0; pw < pooled_width; ++pw) {
          for (std::int64_t iy = 0; iy < grid_h; ++iy) {
            const T y = y1 + static_cast<T>(ph) * bin_h +
                        (static_cast<T>(iy) + T(0.5)) * bin_h / static_cast<T>(grid_h);
            for (std::int64_t ix = 0; ix < grid_w; ++ix) {
              const T x = x1 + static_cast<T>(pw) * bin_w +
                          (static_cast<T>(ix) + T(0.5)) * bin_w / static_cast<T>(grid_w);
              samples.push_back(sample_at<T>(y, x, height, width));
            }
          }
        }
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        const T* const plane = map + (image * channels + c) * height * width;
        T* const bins = out + (k * channels + c) * pooled_height * pooled_width;
        std::size_t next = 0;
        for (std::int64_t bin = 0; bin < pooled_height * pooled_width; ++bin) {
          T sum = 0;
          for (std::int64_t i = 0; i < grid_h * grid_w; ++i) {
            const Sample<T>& s = samples[next++];
            sum += s.weight[0] * plane[s.at[0]] + s.weight[1] * plane[s.at[1]] +
                   s.weight[2] * plane[s.at[2]] + s.weight[3] * plane[s.at[3]];
          }
          bins[bin] = sum / static_cast<T>(of_bin);
        }
      }
    }
  });
  return result;
}

at::Tensor roi_align(const at::Tensor& input, const at::Tensor& rois, double spatial_scale,
                     std::int64_t pooled_height, std::int64_t pooled_width,
                     std::int64_t sampling_ratio, bool aligned) {
  TORCH_CHECK(input.dim() == 4, "roi_align takes feature maps [n, c, h, w], not ", input.sizes());
  TORCH_CHECK(rois.dim() == 2 && rois.size(1) == 5, "roi_align takes regions [k, 5], not ",
              rois.sizes());
  TORCH_CHECK(input.scalar_type() == rois.scalar_type(),
              "roi_align takes maps and regions of one element type");
  TORCH_CHECK(pooled_height > 0 && pooled_width > 0, "roi_align: the result must have bins");
  TORCH_CHECK(input.size(2) > 0 && input.size(3) > 0, "roi_align: the feature map is empty");
  if (input.scalar_type() == at::kDouble)
    return roi_align_of<double>(input, rois, spatial_scale, pooled_height, pooled_width,
                                sampling_ratio, aligned);
  TORCH_CHECK(input.scalar_type() == at::kFloat, "roi_align takes float32 or float64");
  return roi_align_of<float>(input, rois, spatial_scale, pooled_height, pooled_width,
                             sampling_ratio, aligned);
}

// Where the bytes are not the processor's to read: there and back.
at::Tensor nms_elsewhere(const at::Tensor& boxes, const at::Tensor& scores, double threshold) {
  return nms(boxes.cpu(), scores.cpu(), threshold).to(boxes.device());
}

at::Tensor roi_align_elsewhere(const at::Tensor& input, const at::Tensor& rois,
                               double spatial_scale, std::int64_t pooled_height,
                               std::int64_t pooled_width, std::int64_t sampling_ratio,
                               bool aligned) {
  return roi_align(input.cpu(), rois.cpu(), spatial_scale, pooled_height, pooled_width,
                   sampling_ratio, aligned)
      .to(input.device());
}

}  // namespace

bool names_torchvision(std::string_view complaint) {
  return complaint.find("torchvision::") != std::string_view::npos;
}

bool register_torchvision_ops() {
  static std::mutex mutex;
  static std::unique_ptr<torch::Library> library;  // what it registered lasts as long as it does
  const std::lock_guard lock(mutex);
  const auto known = [](const char* name) {
    return c10::Dispatcher::singleton().findSchema({name, ""}).has_value();
  };
  const bool has_nms = known("torchvision::nms"), has_align = known("torchvision::roi_align");
  if (has_nms && has_align)
    return false;
  // {}: an optional that is libtorch's own in 1.13, and the standard's in later ones.
  std::unique_ptr<torch::Library> fresh(
      new torch::Library(torch::Library::FRAGMENT, "torchvision", {}, __FILE__, __LINE__));
  if (!has_nms) {
    fresh->def("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor");
    fresh->impl("nms", torch::dispatch(c10::DispatchKey::CPU, TORCH_FN(nms)));
    fresh->impl("nms", torch::dispatch(c10::DispatchKey::CUDA, TORCH_FN(nms_elsewhere)));
  }
  if (!has_align) {
    fresh->def(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int "
        "pooled_width, int sampling_ratio, bool aligned) -> Tensor");
    fresh->impl("roi_align", torch::dispatch(c10::DispatchKey::CPU, TORCH_FN(roi_align)));
    fresh->impl("roi_align",
                torch::dispatch(c10::DispatchKey::CUDA, TORCH_FN(roi_align_elsewhere)));
  }
  library = std::move(fresh);
  return true;
}

}  // namespace cleave::inline v0::model
