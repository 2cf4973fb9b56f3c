#include "lib/transport/blocks.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace cleave::inline v0::transport {
namespace {

using core::Tensor;

// The tensor with every broadcast dimension (stride 0) reduced to one element.
Tensor without_broadcast(const Tensor& tensor) {
  Tensor reduced = tensor;
  for (std::size_t d = 0; d < reduced.sizes.size(); ++d)
    if (reduced.strides[d] == 0 && reduced.sizes[d] > 1)
      reduced.sizes[d] = 1;
  return reduced;
}

// Strides without gaps, the dimensions nested as they are; a broadcast one stays broadcast.
std::vector<std::int64_t> packed_strides(const Tensor& tensor, const Tensor& reduced) {
  std::vector<std::size_t> order(tensor.sizes.size());
  std::iota(order.begin(), order.end(), 0U);
  // Equal strides: the later dimension is the inner one, as in a row-major tensor.
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return tensor.strides[a] != tensor.strides[b] ? tensor.strides[a] > tensor.strides[b] : a < b;
  });
  std::vector<std::int64_t> strides(tensor.sizes.size(), 0);
  std::int64_t step = 1;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    if (tensor.strides[*it] == 0 && tensor.sizes[*it] > 1)
      continue;
    strides[*it] = step;
    step *= reduced.sizes[*it];
  }
  return strides;
}

// Calls f(byte offset from the tensor's first element, the same in the packed copy).
template <class F>
void for_each_element(const Tensor& from, const std::vector<std::int64_t>& to, F&& f) {
  const std::size_t dims = from.sizes.size();
  const auto element = static_cast<std::int64_t>(core::size_of(from.dtype));
  std::vector<std::int64_t> index;
  index.resize(dims);  // GCC 12 warns falsely (free-nonheap-object) of the constructor with a size
  std::int64_t source = 0, target = 0;
  for (std::size_t left = from.numel(); left > 0; --left) {
    f(static_cast<std::size_t>(source * element), static_cast<std::size_t>(target * element));
    for (std::size_t d = dims; d-- > 0;) {
      source += from.strides[d];
      target += to[d];
      if (++index[d] < from.sizes[d])
        break;
      source -= from.strides[d] * from.sizes[d];
      target -= to[d] * from.sizes[d];
      index[d] = 0;
    }
  }
}

// Which channel the elements of a block belong to that is one tensor without gaps; see BlockShape.
void set_channels(BlockShape& shape, const std::vector<std::int64_t>& sizes,
                  const std::vector<std::int64_t>& strides) {
  const std::size_t dims = sizes.size();
  if (dims < 2 || dims > 5 || shape.elements == 0)
    return;
  const std::size_t channel = dims < 4 ? dims - 1 : 1;
  if (sizes[channel] < 2)
    return;
  shape.channels = static_cast<std::size_t>(sizes[channel]);
  shape.run = static_cast<std::size_t>(strides[channel]);
}

// Views of one storage whose byte ranges touch one another.
struct Cluster {
  std::vector<std::size_t> tensors;
  std::size_t begin = 0, end = 0;
};

class Layouter {
 public:
  explicit Layouter(const std::vector<const Tensor*>& tensors) : tensors_(tensors) {
    layout_.placements.resize(tensors.size());
  }

  Layout run() {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      if (tensors_[i]->numel() == 0)
        place_empty(i);
      else
        order.push_back(i);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      const Tensor &x = *tensors_[a], &y = *tensors_[b];
      return std::make_pair(first_of(x.storage.get()), x.byte_offset) <
             std::make_pair(first_of(y.storage.get()), y.byte_offset);
    });
    Cluster cluster;
    for (const std::size_t i : order) {
      const Tensor& tensor = *tensors_[i];
      const std::size_t end = tensor.byte_offset + tensor.extent_bytes();
      if (!cluster.tensors.empty() &&
          tensors_[cluster.tensors.front()]->storage == tensor.storage &&
          tensor.byte_offset < cluster.end) {
        cluster.end = std::max(cluster.end, end);
      } else {
        place(cluster);
        cluster = {{}, tensor.byte_offset, end};
      }
      cluster.tensors.push_back(i);
    }
    place(cluster);
    return std::move(layout_);
  }

 private:
  // Storages in the order of their first tensor, so that equal values give equal bytes.
  std::size_t first_of(const core::Storage* storage) const {
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      if (tensors_[i]->storage.get() == storage)
        return i;
    return tensors_.size();
  }

  void place_empty(std::size_t i) {
    Block block;
    block.shape.dtype = tensors_[i]->dtype;
    layout_.placements[i] = {add(std::move(block)), 0, tensors_[i]->strides};
  }

  std::uint32_t add(Block block) {
    layout_.blocks.push_back(std::move(block));
    return static_cast<std::uint32_t>(layout_.blocks.size() - 1);
  }

  void place(const Cluster& cluster) {
    if (cluster.tensors.empty())
      return;
    std::size_t own = 0;
    for (const std::size_t i : cluster.tensors) own += without_broadcast(*tensors_[i]).nbytes();
    // With gaps in the range, views that share no byte are better sent on their own.
    if (cluster.end - cluster.begin > own && !share_bytes(cluster)) {
      for (const std::size_t i : cluster.tensors) pack(i);
      return;
    }
    Block block;
    const Tensor& first = *tensors_[cluster.tensors.front()];
    block.shape.dtype = first.dtype;
    const std::size_t element = core::size_of(first.dtype);
    for (const std::size_t i : cluster.tensors)
      if (tensors_[i]->dtype != first.dtype ||
          (tensors_[i]->byte_offset - cluster.begin) % element != 0)
        block.shape.dtype = core::DType::uint8;
    block.storage = first.storage;
    block.offset = cluster.begin;
    block.size = cluster.end - cluster.begin;
    block.shape.elements = block.size / core::size_of(block.shape.dtype);
    for (const std::size_t i : cluster.tensors) {
      const Tensor reduced = without_broadcast(*tensors_[i]);
      if (reduced.dtype == block.shape.dtype && reduced.nbytes() == block.size &&
          reduced.is_dense()) {
        set_channels(block.shape, reduced.sizes, reduced.strides);
        break;
      }
    }
    const std::uint32_t index = add(std::move(block));
    for (const std::size_t i : cluster.tensors)
      layout_.placements[i] = {index, tensors_[i]->byte_offset - cluster.begin,
                               tensors_[i]->strides};
  }

  bool share_bytes(const Cluster& cluster) const {
    std::vector<bool> seen(cluster.end - cluster.begin);
    for (const std::size_t i : cluster.tensors) {
      const Tensor reduced = without_broadcast(*tensors_[i]);
      const std::size_t offset = reduced.byte_offset - cluster.begin;
      const std::size_t element = core::size_of(reduced.dtype);
      bool shared = false;
      for_each_element(reduced, reduced.strides, [&](std::size_t at, std::size_t) {
        for (std::size_t b = 0; b < element; ++b) {
          shared = shared || seen[offset + at + b];
          seen[offset + at + b] = true;
        }
      });
      if (shared)
        return true;
    }
    return false;
  }

  void pack(std::size_t i) {
    const Tensor& tensor = *tensors_[i];
    const Tensor reduced = without_broadcast(tensor);
    std::vector<std::int64_t> strides = packed_strides(tensor, reduced);
    Block block;
    block.size = reduced.nbytes();
    block.shape = {tensor.dtype, reduced.numel(), 1, 1};
    set_channels(block.shape, reduced.sizes, strides);
    block.storage = core::allocate_storage(block.size);
    const std::byte* from = tensor.data();
    const std::size_t element = core::size_of(tensor.dtype);
    for_each_element(reduced, strides, [&](std::size_t source, std::size_t target) {
      std::memcpy(block.storage->data() + target, from + source, element);
    });
    layout_.placements[i] = {add(std::move(block)), 0, std::move(strides)};
  }

  const std::vector<const Tensor*>& tensors_;
  Layout layout_;
};

}  // namespace

Layout lay_out(const std::vector<const Tensor*>& tensors) {
  return Layouter(tensors).run();
}

}  // namespace cleave::inline v0::transport
