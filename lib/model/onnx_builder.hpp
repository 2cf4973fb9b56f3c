// Builds the graph of an ONNX file operator by operator: constants are computed at once, all else
// becomes a node whose result's sizes are known from the sizes of what it reads.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <cleave/core/result.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace cleave::inline v0::model::onnx_in {

using Sizes = std::vector<std::int64_t>;

/// A size that depends on what the network computes.
inline constexpr std::int64_t unknown = -1;

/// The bounds on what a file may ask for. docs/onnx.md states them.
inline constexpr std::int64_t most_size = std::int64_t{1} << 31;          ///< of one dimension
inline constexpr std::int64_t most_elements = std::int64_t{1} << 28;      ///< of one value
inline constexpr std::int64_t most_elements_all = std::int64_t{1} << 33;  ///< of all values
inline constexpr std::int64_t most_work = std::int64_t{1} << 42;          ///< multiply-adds
inline constexpr std::int64_t most_folded = std::int64_t{1} << 26;  ///< elements made of constants
inline constexpr std::int64_t most_folded_work = std::int64_t{1} << 31;
inline constexpr std::size_t most_nodes = 100'000;  ///< read and, loops unrolled, emitted

/// How an import ends early; import_onnx() turns it into a value.
class ImportError : public std::exception {
 public:
  ImportError(core::Errc kind, std::string what, std::string advice = "")
      : code(kind), text(std::move(what)), hint(std::move(advice)) {}
  [[nodiscard]] const char* what() const noexcept override { return text.c_str(); }
  core::Errc code;
  std::string text, hint;
  bool placed = false;  ///< the text names the node
};

[[noreturn]] inline void refuse(std::string what, std::string hint = "") {
  throw ImportError(core::Errc::unsupported, std::move(what), std::move(hint));
}
[[noreturn]] inline void corrupt(std::string what) {
  throw ImportError(core::Errc::corrupt, std::move(what));
}
[[noreturn]] inline void too_large(std::string what) {
  throw ImportError(core::Errc::exhausted, std::move(what));
}

/// A value of the ONNX graph.
struct Val {
  enum class Kind { absent, constant, computed, sequence };
  Kind kind = Kind::absent;
  at::Tensor constant;
  torch::jit::Value* node = nullptr;
  at::ScalarType dtype = at::kFloat;
  Sizes sizes;
  std::vector<Val> items;  ///< of a sequence, whose length is always known

  Val() = default;
  /* implicit */ Val(const at::Tensor& tensor)
      : kind(Kind::constant),
        constant(tensor),
        dtype(tensor.scalar_type()),
        sizes(tensor.sizes().vec()) {}

  [[nodiscard]] bool present() const { return kind != Kind::absent; }
  [[nodiscard]] bool is_constant() const { return kind == Kind::constant; }
  [[nodiscard]] std::int64_t rank() const { return static_cast<std::int64_t>(sizes.size()); }
  [[nodiscard]] std::int64_t size(std::int64_t dim) const {
    return sizes.at(static_cast<std::size_t>(dim));
  }
  [[nodiscard]] bool sizes_known() const {
    for (const std::int64_t size : sizes) {
      if (size == unknown)
        return false;
    }
    return true;
  }
  [[nodiscard]] bool is_floating() const { return c10::isFloatingType(dtype); }
};

Val sequence_of(std::vector<Val> items);

/// An argument of an ATen operator.
class Arg {
 public:
  /* implicit */ Arg(Val value) : data_(std::move(value)) {}
  /* implicit */ Arg(std::vector<Val> list) : data_(std::move(list)) {}
  /* implicit */ Arg(const at::Tensor& tensor) : data_(Val(tensor)) {}
  /* implicit */ Arg(const Sizes& ints) : data_(c10::IValue(ints)) {}
  /* implicit */ Arg(std::int64_t number) : data_(c10::IValue(number)) {}
  /* implicit */ Arg(int number) : data_(c10::IValue(static_cast<std::int64_t>(number))) {}
  /* implicit */ Arg(double number) : data_(c10::IValue(number)) {}
  /* implicit */ Arg(bool flag) : data_(c10::IValue(flag)) {}
  /* implicit */ Arg(const char* text) : data_(c10::IValue(std::string(text))) {}
  /* implicit */ Arg(std::nullopt_t) : data_(c10::IValue()) {}
  /* implicit */ Arg(c10::IValue value) : data_(std::move(value)) {}
  /// For what an operator takes by name only.
  static Arg named(const char* name, Arg value);
  /// A list of tensors some of which may be absent, as aten::index takes it.
  static Arg optional_list(std::vector<Val> list);

  [[nodiscard]] bool is_constant() const;

 private:
  friend class Builder;
  struct OptionalList {
    std::vector<Val> items;
  };
  std::variant<Val, std::vector<Val>, OptionalList, c10::IValue> data_ = c10::IValue();
  const char* name_ = nullptr;
};

using Args = std::vector<Arg>;

/// `sizes` as "[1, 3, ?]".
std::string to_text(const Sizes& sizes);
/// Elements of a value of these sizes; unknown sizes count as one. Throws when it overflows.
std::int64_t count(const Sizes& sizes);
/// The same, and throws where they are too many for one value: for whoever makes something of a
/// value's length before the value itself.
std::int64_t count_one(const Sizes& sizes);
/// NumPy's rule, which ONNX shares. Throws where the sizes do not fit.
Sizes broadcast(const Sizes& a, const Sizes& b);
/// Into [0, rank); throws if it is not in [-rank, rank).
std::int64_t axis_of(std::int64_t axis, std::int64_t rank);

class Builder {
 public:
  Builder();

  Val add_input(const std::string& name, at::ScalarType dtype, Sizes sizes);
  /// What a reshaped value was before: the same elements in the same order.
  [[nodiscard]] Val before_reshape(const Val& x) const;
  /// One operator with one result. `work` counts multiply-adds where they are more than the
  /// elements of the result.
  Val emit(const char* op, const Args& args, at::ScalarType dtype, Sizes sizes,
           std::int64_t work = 0);
  struct Result {
    at::ScalarType dtype;
    Sizes sizes;
  };
  std::vector<Val> emit_several(const char* op, const Args& args, std::vector<Result> results,
                                std::int64_t work = 0);
  void add_output(const Val& value);

  /// The layer that nodes emitted from now on belong to.
  void enter_layer(const std::string& layer);

  /// The value in the graph; a constant becomes a node the first time it is asked for.
  torch::jit::Value* use(const Val& value);
  /// A matrix turned over, once however often it is asked for.
  at::Tensor transposed(const at::Tensor& matrix);
  /// Counts what folding computes outside emit().
  void count_folded(std::int64_t elements);

  [[nodiscard]] const std::shared_ptr<torch::jit::Graph>& graph() const { return graph_; }
  [[nodiscard]] std::unordered_map<const torch::jit::Value*, Sizes>& sizes() { return sizes_; }

 private:
  void count_value(const Sizes& sizes, std::int64_t work);
  std::vector<Val> fold(const char* op, const Args& args, const std::vector<Result>& results,
                        std::int64_t work);
  static c10::IValue constant_of(const Arg& arg);
  torch::jit::Value* argument(const Arg& arg);

  std::shared_ptr<torch::jit::Graph> graph_;
  std::unordered_map<const c10::TensorImpl*, torch::jit::Value*> constants_;
  std::unordered_map<const c10::TensorImpl*, at::Tensor> transposed_;
  std::vector<at::Tensor> kept_;  ///< so that no other tensor takes an address in these
  std::unordered_map<const torch::jit::Value*, Sizes> sizes_;
  std::int64_t elements_ = 0, work_ = 0, folded_ = 0, folded_work_ = 0;
  std::size_t nodes_ = 0;
};

}  // namespace cleave::inline v0::model::onnx_in
