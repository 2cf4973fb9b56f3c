// Tensors and the other values that a model takes, gives and passes across a cut, without libtorch.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace cleave::inline v0::core {

/// Element types. The numbers are part of the wire protocol and of files: only append.
enum class DType : std::uint8_t {
  uint8 = 0,
  int8 = 1,
  int16 = 2,
  int32 = 3,
  int64 = 4,
  float16 = 5,
  bfloat16 = 6,
  float32 = 7,
  float64 = 8,
  boolean = 9,
  complex64 = 10,
  complex128 = 11,
};
inline constexpr std::size_t dtype_count = 12;

/// Bytes an element takes.
CLEAVE_EXPORT std::size_t size_of(DType dtype);
/// "float32", ...
CLEAVE_EXPORT std::string_view to_string(DType dtype);

/// A block of bytes that tensors view; freed with its last owner. Two tensors of one storage alias.
/// The bytes may be written by whoever holds the only reference; shared, they are read-only.
class CLEAVE_EXPORT Storage {
 public:
  virtual ~Storage();
  [[nodiscard]] virtual std::byte* data() = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
};

/// `size` bytes, 64-byte aligned, not initialised. Throws std::bad_alloc.
CLEAVE_EXPORT std::shared_ptr<Storage> allocate_storage(std::size_t size);

/// A strided view of a storage. Sizes and strides are in elements, the offset in bytes.
/// Invariant: all elements lie inside the storage (see make_tensor()).
struct Tensor {
  DType dtype = DType::float32;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::size_t byte_offset = 0;
  std::shared_ptr<Storage> storage;

  /// Elements, by the sizes; 1 for a scalar.
  [[nodiscard]] CLEAVE_EXPORT std::size_t numel() const;
  /// numel() * size_of(dtype): what the elements take without gaps.
  [[nodiscard]] std::size_t nbytes() const { return numel() * size_of(dtype); }
  /// Bytes from the first to past the last element that the view touches; 0 if it has none.
  [[nodiscard]] CLEAVE_EXPORT std::size_t extent_bytes() const;
  /// Row-major without gaps.
  [[nodiscard]] CLEAVE_EXPORT bool is_contiguous() const;
  /// Every element has its own place and there are no gaps, in whatever order of dimensions.
  [[nodiscard]] CLEAVE_EXPORT bool is_dense() const;
  [[nodiscard]] std::byte* data() const { return storage->data() + byte_offset; }
  template <class T>
  [[nodiscard]] T* data_as() const {
    return reinterpret_cast<T*>(data());
  }
};

/// Row-major strides for the sizes.
CLEAVE_EXPORT std::vector<std::int64_t> contiguous_strides(std::span<const std::int64_t> sizes);
/// An uninitialised contiguous tensor. Throws std::bad_alloc.
CLEAVE_EXPORT Tensor empty_tensor(DType dtype, std::vector<std::int64_t> sizes);
/// A checked view: fails with Errc::invalid_argument on negative sizes or strides, on overflow, or
/// when an element would lie outside the storage. The one door for sizes from files or the network.
CLEAVE_EXPORT Result<Tensor> make_tensor(DType dtype, std::vector<std::int64_t> sizes,
                                         std::vector<std::int64_t> strides, std::size_t byte_offset,
                                         std::shared_ptr<Storage> storage);
/// A row-major copy with a storage of its own.
CLEAVE_EXPORT Tensor contiguous_copy(const Tensor& tensor);

/// What a model takes or gives, and what lives across a cut: a tensor, or the scalars, strings,
/// lists, tuples and dictionaries a graph may need beside them.
struct Value {
  struct None {
    friend bool operator==(None, None) { return true; }
  };
  /// A TorchScript Uninitialized: defined on another branch, never read.
  struct Uninitialized {
    friend bool operator==(Uninitialized, Uninitialized) { return true; }
  };
  struct List {
    std::vector<Value> items;
    /// TorchScript's element type, e.g. "int", "Tensor", "float"; "" if not known. An empty list
    /// cannot tell by its items.
    std::string element;
  };
  struct Tuple {
    std::vector<Value> items;
  };
  struct Dict {
    std::vector<std::pair<Value, Value>> items;  ///< in insertion order
    std::string key, value;                      ///< TorchScript's types
  };

  std::variant<None, Uninitialized, bool, std::int64_t, double, std::string, Tensor, List, Tuple,
               Dict>
      data;

  Value() = default;
  template <class T>
  requires(!std::is_same_v<std::remove_cvref_t<T>, Value>) Value(T&& v)
      : data(std::forward<T>(v)) {}  // NOLINT: a Value is meant to be made implicitly

  [[nodiscard]] const Tensor* tensor() const { return std::get_if<Tensor>(&data); }
  [[nodiscard]] Tensor* tensor() { return std::get_if<Tensor>(&data); }
};

using Values = std::vector<Value>;

/// Calls f(Tensor&) for every tensor inside, depth first, in order.
template <class F>
void for_each_tensor(const Value& value, F&& f) {
  std::visit(
      [&](const auto& v) {
        using T = std::remove_cvref_t<decltype(v)>;
        if constexpr (std::is_same_v<T, Tensor>) {
          f(v);
        } else if constexpr (std::is_same_v<T, Value::List> || std::is_same_v<T, Value::Tuple>) {
          for (const Value& item : v.items) for_each_tensor(item, f);
        } else if constexpr (std::is_same_v<T, Value::Dict>) {
          for (const auto& [key, item] : v.items) {
            for_each_tensor(key, f);
            for_each_tensor(item, f);
          }
        }
      },
      value.data);
}

}  // namespace cleave::inline v0::core
