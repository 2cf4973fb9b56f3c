#include <cleave/core/tensor.hpp>

#include <algorithm>
#include <cstring>
#include <new>

namespace cleave::inline v0::core {
namespace {

class HeapStorage final : public Storage {
 public:
  explicit HeapStorage(std::size_t size)
      : data_(static_cast<std::byte*>(::operator new(std::max<std::size_t>(size, 1), alignment))),
        size_(size) {}
  ~HeapStorage() override { ::operator delete(data_, alignment); }
  HeapStorage(const HeapStorage&) = delete;
  HeapStorage& operator=(const HeapStorage&) = delete;

  std::byte* data() override { return data_; }
  [[nodiscard]] std::size_t size() const override { return size_; }

 private:
  static constexpr std::align_val_t alignment{64};
  std::byte* data_;
  std::size_t size_;
};

// Copies by walking all dimensions but the last, which is copied element by element.
void copy_strided(const Tensor& from, std::size_t dim, const std::byte* source,
                  std::byte*& target) {
  const std::size_t element = size_of(from.dtype);
  if (dim == from.sizes.size()) {
    std::memcpy(target, source, element);
    target += element;
    return;
  }
  const auto step =
      static_cast<std::ptrdiff_t>(from.strides[dim]) * static_cast<std::ptrdiff_t>(element);
  for (std::int64_t i = 0; i < from.sizes[dim]; ++i)
    copy_strided(from, dim + 1, source + i * step, target);
}

}  // namespace

Storage::~Storage() = default;

std::shared_ptr<Storage> allocate_storage(std::size_t size) {
  return std::make_shared<HeapStorage>(size);
}

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::uint8:
    case DType::int8:
    case DType::boolean:
      return 1;
    case DType::int16:
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::int32:
    case DType::float32:
      return 4;
    case DType::int64:
    case DType::float64:
    case DType::complex64:
      return 8;
    case DType::complex128:
      return 16;
  }
  return 0;
}

std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::uint8:
      return "uint8";
    case DType::int8:
      return "int8";
    case DType::int16:
      return "int16";
    case DType::int32:
      return "int32";
    case DType::int64:
      return "int64";
    case DType::float16:
      return "float16";
    case DType::bfloat16:
      return "bfloat16";
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::boolean:
      return "bool";
    case DType::complex64:
      return "complex64";
    case DType::complex128:
      return "complex128";
  }
  return "unknown";
}

std::size_t Tensor::numel() const {
  std::size_t n = 1;
  for (const std::int64_t size : sizes) n *= static_cast<std::size_t>(size);
  return n;
}

std::size_t Tensor::extent_bytes() const {
  std::size_t last = 0;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] == 0)
      return 0;
    last += static_cast<std::size_t>(sizes[d] - 1) * static_cast<std::size_t>(strides[d]);
  }
  return (last + 1) * size_of(dtype);
}

bool Tensor::is_contiguous() const {
  std::int64_t expected = 1;
  for (std::size_t d = sizes.size(); d-- > 0;) {
    if (sizes[d] == 0)
      return true;
    if (sizes[d] == 1)
      continue;
    if (strides[d] != expected)
      return false;
    expected *= sizes[d];
  }
  return true;
}

bool Tensor::is_dense() const {
  std::vector<std::size_t> order;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] == 0)
      return true;
    if (sizes[d] > 1)
      order.push_back(d);
  }
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return strides[a] < strides[b]; });
  std::int64_t expected = 1;
  for (const std::size_t d : order) {
    if (strides[d] != expected)
      return false;
    expected *= sizes[d];
  }
  return true;
}

std::vector<std::int64_t> contiguous_strides(std::span<const std::int64_t> sizes) {
  std::vector<std::int64_t> strides(sizes.size(), 1);
  for (std::size_t d = sizes.size(); d-- > 1;)
    strides[d - 1] = strides[d] * std::max<std::int64_t>(sizes[d], 1);
  return strides;
}

Tensor empty_tensor(DType dtype, std::vector<std::int64_t> sizes) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.strides = contiguous_strides(sizes);
  tensor.sizes = std::move(sizes);
  tensor.storage = allocate_storage(tensor.nbytes());
  return tensor;
}

Result<Tensor> make_tensor(DType dtype, std::vector<std::int64_t> sizes,
                           std::vector<std::int64_t> strides, std::size_t byte_offset,
                           std::shared_ptr<Storage> storage) {
  if (sizes.size() != strides.size() || !storage || size_of(dtype) == 0)
    return fail(Errc::invalid_argument, "a tensor needs a known dtype and a stride per dimension");
  bool empty = false;
  std::uint64_t last = 0;   // index of the last element touched
  std::uint64_t numel = 1;  // bounded too, so that an expanded view cannot overflow a size_t
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] < 0 || strides[d] < 0)
      return fail(Errc::invalid_argument, "a tensor's sizes and strides must not be negative");
    if (sizes[d] == 0) {
      empty = true;
      continue;
    }
    std::uint64_t span = 0;
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(sizes[d] - 1),
                               static_cast<std::uint64_t>(strides[d]), &span) ||
        __builtin_add_overflow(last, span, &last) ||
        __builtin_mul_overflow(numel, static_cast<std::uint64_t>(sizes[d]), &numel) ||
        numel > (std::uint64_t{1} << 48))
      return fail(Errc::invalid_argument, "a tensor's sizes are too large");
  }
  std::uint64_t end = 0;
  if (__builtin_add_overflow(last, std::uint64_t{1}, &end) ||
      __builtin_mul_overflow(end, std::uint64_t{size_of(dtype)}, &end) ||
      __builtin_add_overflow(end, std::uint64_t{byte_offset}, &end))
    return fail(Errc::invalid_argument, "a tensor's sizes are too large");
  if (empty ? byte_offset > storage->size() : end > storage->size())
    return fail(Errc::invalid_argument, "a tensor reaches outside its storage");
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.sizes = std::move(sizes);
  tensor.strides = std::move(strides);
  tensor.byte_offset = byte_offset;
  tensor.storage = std::move(storage);
  return tensor;
}

Tensor contiguous_copy(const Tensor& tensor) {
  Tensor copy = empty_tensor(tensor.dtype, tensor.sizes);
  if (tensor.numel() == 0)
    return copy;
  if (tensor.is_contiguous()) {
    std::memcpy(copy.data(), tensor.data(), tensor.nbytes());
  } else {
    std::byte* target = copy.data();
    copy_strided(tensor, 0, tensor.data(), target);
  }
  return copy;
}

}  // namespace cleave::inline v0::core
