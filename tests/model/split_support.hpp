// Small TorchScript networks made in the test, and what it takes to compare their halves.
#pragma once

#include <cleave/core/hash.hpp>
#include <cleave/core/tensor.hpp>
#include <cleave/model/torch.hpp>

#include <gtest/gtest.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cleave::test {

/// A module with these parameters and this source (one or more methods, forward among them).
inline torch::jit::Module script(const std::string& source,
                                 const std::map<std::string, at::Tensor>& parameters = {}) {
  torch::jit::Module module("Network");
  for (const auto& [name, tensor] : parameters)
    module.register_parameter(name, tensor, /*is_buffer=*/false);
  module.define(source);
  return module;
}

inline at::Tensor weights(std::vector<std::int64_t> sizes, std::uint64_t seed = 1) {
  at::manual_seed(seed);
  return at::randn(sizes) * 0.3;
}

inline std::shared_ptr<const model::Model> lowered(const torch::jit::Module& module,
                                                   std::vector<std::string> inputs,
                                                   bool all_cuts = true,
                                                   model::PlanKind plan = model::PlanKind::unfused,
                                                   const std::string& device = "cpu") {
  model::LoadOptions options;
  options.all_cuts = all_cuts;
  options.plan = plan;
  options.plan_cache = "";
  options.device = device;
  for (const auto& input : inputs) options.inputs.push_back(*model::parse_input_spec(input));
  auto model = model::from_module(module, "network", options);
  if (!model)
    throw std::runtime_error(model.error().message());
  return *model;
}

inline core::Values run(const model::Model& model, core::CutId begin, core::CutId end,
                        const core::Values& values) {
  auto result = model.run(begin, end, values);
  if (!result)
    throw std::runtime_error(result.error().message());
  return *std::move(result);
}

inline core::Values run_whole(const model::Model& model, const core::Values& inputs) {
  return run(model, model.cuts().front().id, model.cuts().back().id, inputs);
}

/// What module.forward() itself gives, as a list of values; without libtorch's optimisations, which
/// believe what operators say of their aliases.
inline core::Values forward(torch::jit::Module module, const core::Values& inputs) {
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  module.eval();
  std::vector<c10::IValue> arguments;
  for (const auto& input : inputs)
    arguments.emplace_back(model::to_torch(*input.tensor()).clone(at::MemoryFormat::Preserve));
  return {*model::from_torch(module.forward(arguments))};
}

inline std::vector<core::Tensor> tensors(const core::Values& values) {
  std::vector<core::Tensor> result;
  for (const auto& value : values)
    core::for_each_tensor(value, [&](const core::Tensor& tensor) { result.push_back(tensor); });
  return result;
}

/// The bytes of all elements, in row-major order.
inline std::vector<std::byte> elements(const core::Tensor& tensor) {
  const core::Tensor copy = core::contiguous_copy(tensor);
  return {copy.data(), copy.data() + copy.nbytes()};
}

/// Same kinds, same scalars, same tensors down to the last bit (strides may differ).
inline bool bit_equal(const core::Value& a, const core::Value& b) {
  if (a.data.index() != b.data.index())
    return false;
  return std::visit(
      [&](const auto& x) {
        using T = std::remove_cvref_t<decltype(x)>;
        const T& y = std::get<T>(b.data);
        if constexpr (std::is_same_v<T, core::Tensor>) {
          return x.dtype == y.dtype && x.sizes == y.sizes && elements(x) == elements(y);
        } else if constexpr (std::is_same_v<T, core::Value::Dict>) {
          bool equal = x.items.size() == y.items.size();
          for (std::size_t i = 0; equal && i < x.items.size(); ++i)
            equal = bit_equal(x.items[i].first, y.items[i].first) &&
                    bit_equal(x.items[i].second, y.items[i].second);
          return equal;
        } else if constexpr (std::is_same_v<T, core::Value::List> ||
                             std::is_same_v<T, core::Value::Tuple>) {
          bool equal = x.items.size() == y.items.size();
          for (std::size_t i = 0; equal && i < x.items.size(); ++i)
            equal = bit_equal(x.items[i], y.items[i]);
          return equal;
        } else {
          return x == y;
        }
      },
      a.data);
}

inline bool bit_equal(const core::Values& a, const core::Values& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) equal = bit_equal(a[i], b[i]);
  return equal;
}

/// The largest difference over the largest magnitude, of all floating-point elements; infinite if
/// the shapes differ.
inline double relative_difference(const core::Values& a, const core::Values& b) {
  const auto x = tensors(a), y = tensors(b);
  if (x.size() != y.size())
    return std::numeric_limits<double>::infinity();
  double difference = 0, magnitude = 1e-30;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const at::Tensor p = model::to_torch(x[i]).to(at::kDouble);
    const at::Tensor q = model::to_torch(y[i]).to(at::kDouble);
    if (p.sizes() != q.sizes())
      return std::numeric_limits<double>::infinity();
    if (p.numel() == 0)
      continue;
    difference = std::max(difference, (p - q).abs().max().item<double>());
    magnitude = std::max(magnitude, q.abs().max().item<double>());
  }
  return difference / magnitude;
}

/// A copy of the tensor in a storage of its own, with the same strides, as a peer would hold it.
inline core::Tensor resettled(const core::Tensor& tensor) {
  const std::size_t extent = tensor.extent_bytes();
  auto storage = core::allocate_storage(extent);
  if (extent > 0)
    std::memcpy(storage->data(), tensor.data(), extent);
  return *core::make_tensor(tensor.dtype, tensor.sizes, tensor.strides, 0, storage);
}

inline core::Value resettled(const core::Value& value) {
  return std::visit(
      [&](const auto& v) -> core::Value {
        using T = std::remove_cvref_t<decltype(v)>;
        if constexpr (std::is_same_v<T, core::Tensor>) {
          return resettled(v);
        } else if constexpr (std::is_same_v<T, core::Value::Dict>) {
          core::Value::Dict copy{{}, v.key, v.value};
          for (const auto& [key, item] : v.items)
            copy.items.emplace_back(resettled(key), resettled(item));
          return copy;
        } else if constexpr (std::is_same_v<T, core::Value::List>) {
          core::Value::List copy{{}, v.element};
          for (const auto& item : v.items) copy.items.push_back(resettled(item));
          return copy;
        } else if constexpr (std::is_same_v<T, core::Value::Tuple>) {
          core::Value::Tuple copy;
          for (const auto& item : v.items) copy.items.push_back(resettled(item));
          return copy;
        } else {
          return v;
        }
      },
      value.data);
}

inline core::Values resettled(const core::Values& values) {
  core::Values copy;
  for (const auto& value : values) copy.push_back(resettled(value));
  return copy;
}

/// A copy in which one element of the given tensor, the first or the one in the middle, is another.
inline core::Values perturbed(const core::Values& values, std::size_t which, bool first,
                              double by) {
  core::Values copy = resettled(values);
  at::NoGradGuard no_grad;
  at::Tensor tensor = model::to_torch(tensors(copy).at(which));
  std::vector<at::indexing::TensorIndex> at;
  for (const std::int64_t size : tensor.sizes()) at.emplace_back(first ? 0 : size / 2);
  tensor.index_put_(at, tensor.index(at) + by);
  return copy;
}

inline bool is_real(core::DType dtype) {
  return dtype == core::DType::float32 || dtype == core::DType::float64;
}

/// Whether the tail gives something else when one element of one cut tensor is changed. An element
/// may be one that the network happens not to look at, so several are tried.
inline bool notices_a_change(const model::Model& model, const core::Cut& cut,
                             const core::Values& across, const core::Values& whole) {
  const auto crossing = tensors(across);
  bool real = false;
  for (const double by : {1000.0, -1000.0}) {
    for (std::size_t i = 0; i < crossing.size(); ++i) {
      if (!is_real(crossing[i].dtype) || crossing[i].numel() == 0)
        continue;
      real = true;
      for (const bool first : {false, true}) {
        if (!bit_equal(run(model, cut.id, model.cuts().back().id, perturbed(across, i, first, by)),
                       whole))
          return true;
      }
    }
  }
  return !real;
}

/// At every cut: head then tail gives the whole's outputs bit for bit, with the cut tensors where
/// the head left them and with copies of them; what was given is not changed; and a change of one
/// element of one cut tensor shows. Returns how many cuts were tried.
inline std::size_t check_every_cut(const model::Model& model, const core::Values& inputs) {
  EXPECT_TRUE(model.set_threads(1));
  const core::Values given = resettled(inputs);
  const core::Values whole = run_whole(model, inputs);
  EXPECT_TRUE(bit_equal(inputs, given)) << "the inputs were changed";
  const auto cuts = model.cuts();
  for (const core::Cut& cut : cuts) {
    SCOPED_TRACE("cut at " + std::to_string(cut.position) + " after " + cut.op + " in " +
                 cut.layer);
    const core::Values across = run(model, cuts.front().id, cut.id, inputs);
    const core::Values copies = resettled(across);
    EXPECT_TRUE(bit_equal(run(model, cut.id, cuts.back().id, across), whole));
    EXPECT_TRUE(bit_equal(across, copies)) << "the tail changed what crossed";
    EXPECT_TRUE(bit_equal(run(model, cut.id, cuts.back().id, copies), whole));
    EXPECT_TRUE(notices_a_change(model, cut, across, whole)) << "no cut tensor matters";
  }
  return cuts.size();
}

}  // namespace cleave::test
