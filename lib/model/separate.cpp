#include "lib/model/separate.hpp"

#include "lib/model/containers.hpp"

#include <algorithm>
#include <unordered_map>

namespace cleave::inline v0::model {
namespace {

// The part of a storage that the values view, and its copy.
struct Part {
  std::int64_t begin = 0, end = 0;  // bytes
  bool chosen = false;
  c10::Storage copy;
};

class Separator {
 public:
  void note(const c10::IValue& value, bool chosen) {
    if (value.isTensor()) {
      note(value.toTensor(), chosen);
    } else if (value.isList()) {
      const auto list = value.toList();
      for (std::size_t i = 0; i < list.size(); ++i) note(list.get(i), chosen);
    } else if (value.isTuple()) {
      for (const auto& item : value.toTupleRef().elements()) note(item, chosen);
    } else if (value.isGenericDict()) {
      for (const auto& entry : value.toGenericDict()) note(entry.value(), chosen);
    }
  }

  c10::IValue copy(const c10::IValue& value) {
    return map_leaves(value, [this](const c10::IValue& leaf) {
      return leaf.isTensor() ? c10::IValue(copy(leaf.toTensor())) : leaf;
    });
  }

 private:
  static bool is_plain(const at::Tensor& tensor) {
    return tensor.defined() && tensor.has_storage() && tensor.layout() == c10::kStrided;
  }

  void note(const at::Tensor& tensor, bool chosen) {
    if (!is_plain(tensor))
      return;
    std::int64_t last = 0;
    for (std::int64_t d = 0; d < tensor.dim(); ++d)
      last += std::max<std::int64_t>(tensor.size(d) - 1, 0) * tensor.stride(d);
    const auto item = static_cast<std::int64_t>(tensor.element_size());
    const std::int64_t begin = tensor.storage_offset() * item;
    const std::int64_t end = tensor.numel() == 0 ? begin : begin + (last + 1) * item;
    const auto [part, fresh] =
        parts_.try_emplace(tensor.storage().unsafeGetStorageImpl(), Part{begin, end, false, {}});
    part->second.begin = std::min(part->second.begin, begin);
    part->second.end = std::max(part->second.end, end);
    part->second.chosen = part->second.chosen || chosen;
  }

  at::Tensor copy(const at::Tensor& tensor) {
    if (!is_plain(tensor))
      return tensor;
    Part& part = parts_.at(tensor.storage().unsafeGetStorageImpl());
    if (!part.chosen)
      return tensor;
    // Elements of one size start at multiples of it; so does what they start from.
    constexpr std::int64_t widest = 16;
    const std::int64_t from = part.begin / widest * widest;
    if (!part.copy) {
      // By libtorch, since the bytes may lie on another device.
      at::Tensor bytes = at::empty({0}, tensor.options().dtype(at::kByte));
      // An empty tensor may start behind its storage's end.
      const auto end = std::min(part.end, static_cast<std::int64_t>(tensor.storage().nbytes()));
      bytes.set_(tensor.storage(), from, {std::max<std::int64_t>(end - from, 0)}, {1});
      part.copy = bytes.clone().storage();
    }
    at::Tensor view = at::empty({0}, tensor.options());
    view.set_(part.copy,
              tensor.storage_offset() - from / static_cast<std::int64_t>(tensor.element_size()),
              tensor.sizes(), tensor.strides());
    return view;
  }

  std::unordered_map<const void*, Part> parts_;
};

}  // namespace

std::vector<c10::IValue> separate(const std::vector<c10::IValue>& values,
                                  const std::vector<bool>& chosen) {
  Separator separator;
  for (std::size_t i = 0; i < values.size(); ++i) separator.note(values[i], chosen[i]);
  std::vector<c10::IValue> copies;
  for (const c10::IValue& value : values) copies.push_back(separator.copy(value));
  return copies;
}

std::vector<c10::IValue> separate(const std::vector<c10::IValue>& values) {
  return separate(values, std::vector<bool>(values.size(), true));
}

}  // namespace cleave::inline v0::model
