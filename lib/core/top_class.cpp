#include <cleave/core/top_class.hpp>

#include <limits>

namespace cleave::inline v0::core {
namespace {

template <class T>
std::int32_t largest(const Tensor& tensor) {
  const Tensor dense = tensor.is_contiguous() ? tensor : contiguous_copy(tensor);
  const T* elements = dense.data_as<T>();
  const std::size_t count = dense.numel();
  std::int32_t best = -1;
  T most = -std::numeric_limits<T>::infinity();
  for (std::size_t i = 0; i < count; ++i)
    if (elements[i] > most || (best < 0 && elements[i] == most)) {
      most = elements[i];
      best = static_cast<std::int32_t>(i);
    }
  return best;
}

}  // namespace

std::int32_t top_class(const Values& outputs) {
  std::int32_t best = -1;
  bool found = false;
  for (const Value& value : outputs)
    for_each_tensor(value, [&](const Tensor& tensor) {
      if (found || (tensor.dtype != DType::float32 && tensor.dtype != DType::float64))
        return;
      found = true;
      best = tensor.dtype == DType::float32 ? largest<float>(tensor) : largest<double>(tensor);
    });
  return best;
}

}  // namespace cleave::inline v0::core
