// Values passed between core's types and libtorch's, keeping who shares memory with whom.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>

#include <memory>
#include <optional>
#include <unordered_map>

namespace cleave::inline v0::model {

/// Converts the values of one call. Tensors that share a storage on one side share one on the
/// other; that is why a call's values go through one converter.
class FromTorch {
 public:
  core::Result<core::Tensor> tensor(const at::Tensor& tensor);
  core::Result<core::Value> value(const c10::IValue& value);

 private:
  std::unordered_map<const void*, std::shared_ptr<core::Storage>> storages_;
};

class ToTorch {
 public:
  at::Tensor tensor(const core::Tensor& tensor);
  /// `type` may be null: nothing is checked then, and the element types come from the value.
  core::Result<c10::IValue> value(const core::Value& value, const c10::TypePtr& type);

 private:
  core::Result<c10::IValue> list(const core::Value::List& list, const c10::TypePtr& type);
  core::Result<c10::IValue> tuple(const core::Value::Tuple& tuple, const c10::TypePtr& type);
  core::Result<c10::IValue> dict(const core::Value::Dict& dict, const c10::TypePtr& type);

  std::unordered_map<const void*, c10::Storage> storages_;
};

/// Nothing if cleave has no such element type.
std::optional<core::DType> to_dtype(c10::ScalarType type);
c10::ScalarType to_scalar_type(core::DType dtype);

}  // namespace cleave::inline v0::model
