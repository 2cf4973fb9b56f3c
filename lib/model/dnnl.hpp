// oneDNN's primitives as cleave's steps use them, without its types: versions 2 and 3 differ, and
// both are hidden in dnnl.cpp. Single precision, in main memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::model::dnn {

/// How the elements of a four-dimensional tensor lie in memory. Other tensors are always plain.
enum class Layout : std::uint8_t {
  plain,          ///< batch, channels, height, width
  channels_last,  ///< batch, height, width, channels
  blocked,        ///< batch, channels / block(), height, width, block(); only where that divides
};

/// "plain", "channels_last", "blocked".
std::string to_string(Layout layout);

/// Channels in a block of Layout::blocked: as many as a vector register of this machine holds.
std::int64_t block();

/// An elementwise function applied to a result before it is stored.
struct Activation {
  enum class Kind : std::uint8_t {
    none,
    relu,
    leaky_relu,  ///< alpha: the slope below zero
    clip,        ///< between alpha and beta
    sigmoid,
    tanh,
    silu,
    hardswish,
    gelu,       ///< by the error function
    gelu_tanh,  ///< by its approximation
    elu,        ///< alpha: the limit below zero, negated
  };
  Kind kind = Kind::none;
  float alpha = 0, beta = 0;
};

using Sizes = std::vector<std::int64_t>;

/// What a convolution is, but for the size of its input.
struct ConvolutionForm {
  Sizes weights;  ///< output channels, input channels / groups, kernel height, kernel width
  std::array<std::int64_t, 2> stride{1, 1}, padding{0, 0}, dilation{1, 1};
  std::int64_t groups = 1;
  bool bias = false;
  bool sum = false;  ///< adds to what the destination holds, before the activation
  Activation activation;
};

enum class ConvolutionMethod : std::uint8_t {
  direct,
  winograd,  ///< Winograd's minimal filtering (Lavin and Gray 2016): fewer products, more rounding
};

enum class LinearMethod : std::uint8_t {
  product,
  /// As a 1x1 convolution whose image is one row of pixels: the same arithmetic on the same bytes,
  /// for which oneDNN blocks and orders the weights better.
  convolution,
};

/// x * weights^T + bias, for x of rows x columns.
struct LinearForm {
  std::int64_t out = 0, in = 0;
  bool bias = false;
  bool sum = false;  ///< as above
  Activation activation;
};

struct PoolingForm {
  std::array<std::int64_t, 2> kernel{1, 1}, stride{1, 1}, padding{0, 0}, dilation{1, 1};
  bool maximum = true;        ///< else the mean
  bool count_padding = true;  ///< in the mean
  std::int64_t out_height = 0, out_width = 0;
};

/// Weights in the order that a kernel reads them. Immutable.
class Packed;
std::size_t bytes_of(const Packed& packed);

/// A primitive compiled for one size of input and one number of threads (that of the calling thread
/// when it was compiled). Immutable; run() may be called from several threads at once.
class Kernel {
 public:
  virtual ~Kernel();
  /// Null weights and bias where the form has none; `scratch` holds scratch_bytes(), 64-byte
  /// aligned.
  virtual void run(const float* source, const Packed* weights, const float* bias,
                   float* destination, void* scratch) const = 0;
  [[nodiscard]] virtual std::size_t scratch_bytes() const = 0;
  [[nodiscard]] virtual const Sizes& destination() const = 0;
  /// Repacks plain weights as this kernel wants them.
  [[nodiscard]] virtual std::shared_ptr<const Packed> pack(const float* weights) const = 0;
};

/// The threads that a kernel compiled now would use.
int threads();
/// Sets them, for the calling thread.
void set_threads(int threads);

// Each gives null where oneDNN has no such kernel for this machine. `packed` may be null: the
// kernel then chooses the order of its weights; else it takes those, or there is none: the best
// order depends on the size of the input and on the number of threads.

std::shared_ptr<const Kernel> convolution(const ConvolutionForm& form, ConvolutionMethod method,
                                          Layout source, Layout destination, const Sizes& input,
                                          const Packed* packed);
std::shared_ptr<const Kernel> linear(const LinearForm& form, LinearMethod method, std::int64_t rows,
                                     const Packed* packed);
/// `layout` is the source's and the destination's.
std::shared_ptr<const Kernel> pooling(const PoolingForm& form, Layout layout, const Sizes& input);

/// A matrix product of two values that a network computes, for each index of the leading
/// dimensions.
struct Strided {
  Sizes sizes, strides;  ///< in elements; two dimensions or more
};
class Product {
 public:
  virtual ~Product();
  /// `y` is dense; as for Kernel::run() otherwise.
  virtual void run(const float* a, const float* b, float* y, void* scratch) const = 0;
  [[nodiscard]] virtual std::size_t scratch_bytes() const = 0;
  [[nodiscard]] virtual const Sizes& destination() const = 0;
};
/// `a` is ... x M x K, `b` ... x K x N with the same leading dimensions, in any strides.
std::shared_ptr<const Product> product(const Strided& a, const Strided& b);

/// Softmax over each row of a dense matrix.
std::shared_ptr<const Kernel> softmax(std::int64_t rows, std::int64_t columns);

/// The inverse of Kernel::pack().
std::vector<float> unpack(const Packed& packed);

/// Copies a dense tensor of `sizes` from one layout into another.
void reorder(const Sizes& sizes, const float* from, Layout from_layout, float* to,
             Layout to_layout);

/// oneDNN's version and the instruction set it uses here, "2.6.3 avx512_core_vnni".
std::string version();

/// Lets go of compiled kernels that nothing uses any more: those that were only tried. oneDNN would
/// keep up to a thousand, some tens of megabytes.
void drop_unused_kernels();

}  // namespace cleave::inline v0::model::dnn
