// The layers that the zoo's networks are made of, as TorchScript modules compiled from source text.
#pragma once

#include <torch/script.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cleave::inline v0::model::zoo_detail {

using torch::jit::Module;
using Children = std::vector<std::pair<std::string, Module>>;

/// Makes modules of one network; they share a compilation unit. Parameters are allocated but not
/// filled: see fill_parameters().
class Layers {
 public:
  Layers();

  /// An empty module of class `kind` in evaluation mode, for containers with a forward of their
  /// own.
  Module make(const std::string& kind) const;
  /// Gives `module` its children and compiles `body`, the indented lines of
  /// `forward(self, x: Tensor) -> Tensor`.
  Module container(const std::string& kind, const Children& children,
                   const std::string& body) const;

  struct Conv {
    std::int64_t in = 0, out = 0, kernel = 1, stride = 1, padding = 0, groups = 1;
    bool bias = false;
    /// Above 0: the places between the kernel's taps. It becomes an attribute, like the padding, so
    /// that a trainer may change both together; 0: neighbouring taps for good.
    std::int64_t dilation = 0;
  };
  Module conv(const Conv& shape) const;
  Module batch_norm(std::int64_t channels, double eps = 1e-5) const;
  Module linear(std::int64_t in, std::int64_t out) const;
  Module layer_norm(std::int64_t width, double eps) const;
  Module relu() const;
  Module relu6() const;
  Module gelu() const;
  Module dropout(double p) const;
  Module max_pool(std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                  bool ceil_mode = false) const;
  Module adaptive_avg_pool(std::int64_t side) const;
  /// [n, c, 1, 1] or any other to [n, rest].
  Module flatten() const;
  /// Runs its children in order.
  Module sequential(const Children& children) const;
  /// Children named "0", "1", ...
  Module sequential(const std::vector<Module>& children) const;

 private:
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
};

/// Fills every parameter below `module` from `seed` and its path: convolutions with He's deviation
/// sqrt(2 / fan in), matrices with sqrt(1 / fan in), scales near 1, the rest small.
void fill_parameters(Module& module, std::uint64_t seed);

/// One pass over `images` that sets each batch normalisation's statistics to those of its own
/// input, from the first layer to the last.
void calibrate_batch_norms(Module& module, const at::Tensor& images);

/// Scales and shifts a convolution or linear layer with bias so that over `input` each output
/// channel has mean 0 and the layer deviation 1 (after Salimans and Kingma, "Weight normalization",
/// 2016, section 3); gives the layer's new output.
at::Tensor calibrate_affine(Module layer, const at::Tensor& input);

/// Calibrates the layers of a sequential in order, those with weight and bias by
/// calibrate_affine(); gives its output.
at::Tensor calibrate_sequential(Module sequential, const at::Tensor& input);

/// As calibrate_affine() for the network's last layer, by the network's outputs over `images`.
void calibrate_classifier(Module& network, Module classifier, const at::Tensor& images);

}  // namespace cleave::inline v0::model::zoo_detail
